"""When training writes a checkpoint, what is in it, and where training goes on from it.

A checkpoint holds the phase it is of and all that the next step depends on, the number of that step included. What
follows from it is what would have followed without an interruption, as long as as many workers go on: with more or
fewer, the rows of the epoch are shared out anew, so that in this epoch a few come twice and others not at all.
"""

import pickle
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint

from lexlip.errors import ModelError
from lexlip.training.step import PhaseTrainer

STATE_FILE = "state.pt"
STEPS_BETWEEN_LOOKS = 10  # for a node about to go; workers have to look together, and wait for each other


def nodes_to_be_preempted() -> Iterable[str]:
    """Ids of the nodes of this run whose end the cluster has announced."""
    preemption = ray.train.get_preemption_info()
    return preemption.preempted_node_ids if preemption is not None else ()


class CheckpointRhythm:
    """Says after which steps a checkpoint is due: every so many, and at once when a node is about to be taken away.

    All workers ask after the same steps and get the same answer.

    Args:
        every: optimiser steps of a phase between two checkpoints; ends of epochs have theirs besides.
        announced: the nodes that are going to be taken away.
    """

    def __init__(self, every: int, announced: Callable[[], Iterable[str]] = nodes_to_be_preempted) -> None:
        self.every = every
        self._announced = announced
        self._leaving: set[str] = set()

    def due(self, step: int) -> bool:
        """Whether to write one after `step` steps of the phase."""
        return step % self.every == 0 or (step % STEPS_BETWEEN_LOOKS == 0 and self._another_node_leaves())

    def _another_node_leaves(self) -> bool:
        nodes = set(self._announced())
        another = not nodes <= self._leaving
        self._leaving |= nodes
        return another


def last_state() -> dict[str, Any] | None:
    """What `report` wrote last; None at the very start."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        file = Path(folder) / STATE_FILE
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise ModelError(
                f"checkpoint {checkpoint.path}: {STATE_FILE} cannot be read ({error}); "
                "move the .training folder away to start again"
            ) from error
    return state


def report(
    trainer: PhaseTrainer, phase_number: int, metrics: dict[str, Any], problems: dict[str, str], rank: int
) -> None:
    """Reports metrics of all workers and, from rank 0, a checkpoint."""
    metrics = metrics | {"problems": problems}
    if rank != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        state = {"phase": phase_number, "trainer": trainer.state_dict(), "problems": problems}
        torch.save(state, Path(folder) / STATE_FILE)
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))
