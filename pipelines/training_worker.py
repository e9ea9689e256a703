"""What each Ray Train worker does: phases, epochs, steps, checkpoints.

After an interruption, everything that the next step of a phase depends on is loaded, and a new phase starts from the
weights of the one before it.
"""

from dataclasses import dataclass, replace

import ray.train
import torch
from ray.train.torch import get_device, prepare_model
from torch import distributed
from torch.utils.tensorboard import SummaryWriter

from lexlip.data.examples import ExampleBuilder
from lexlip.data.sources import PairSource
from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import save_model
from lexlip.training.phases import Phase
from lexlip.training.run import Run
from lexlip.training.step import PhaseTrainer, load_weights, to_batch
from lexlip.vocabulary import Vocabulary
from pipelines.epoch_progress import EpochProgress
from pipelines.training_checkpoints import CheckpointRhythm, last_state, report
from pipelines.training_stream import ExampleStream, StreamShare


@dataclass(frozen=True)
class WorkerTask:
    """All that a worker needs; it travels with the training function.

    Attributes:
        run: what to train, with absolute paths.
        run_fingerprint: of the run as it was asked for.
        source: the located training pairs.
        vocabulary: of the model.
        out: folder of the finished model.
        logs: folder for TensorBoard.
        threads: of tensor operations on CPUs.
        checkpoint_steps: optimiser steps between two checkpoints within an epoch.
        origin: fingerprints of the other models that this one comes from, by their part in it.
    """

    run: Run
    run_fingerprint: str
    source: PairSource
    vocabulary: Vocabulary
    out: str
    logs: str
    threads: int
    checkpoint_steps: int
    origin: dict[str, str]


def train_worker(task: WorkerTask) -> None:
    """Trains through all phases, from the last checkpoint on; rank 0 saves the finished model."""
    torch.set_num_threads(task.threads)
    context = ray.train.get_context()
    run, rank = task.run, context.get_world_rank()
    torch.manual_seed(run.seed)
    model = run.build(task.vocabulary).to(get_device())
    teacher = run.load_teacher(task.vocabulary)
    if teacher is not None:
        teacher = teacher.to(model.device)
        if run.towers_of_teacher:
            model.take_towers(teacher)
    state = last_state()
    last_phase, last_step = (state["phase"], state["trainer"]["step"]) if state else (0, 0)
    problems: dict[str, str] = dict(state["problems"]) if state else {}
    board = SummaryWriter(task.logs) if rank == 0 else None
    rhythm = CheckpointRhythm(task.checkpoint_steps)
    step_total = 0
    for number, phase in enumerate(run.phases):
        stream = _stream(task, model, phase, number)
        steps = stream.share.steps
        if (number, steps * phase.epochs) <= (last_phase, last_step):
            model.set_image_size(phase.image_size)  # position embeddings get the shape that the checkpoint has
            if state is not None and number == last_phase:
                load_weights(model, state["trainer"]["model"])
            step_total += steps * phase.epochs
            continue
        trainer = PhaseTrainer(model, phase, steps * phase.epochs, run.seed + number, teacher)
        if context.get_world_size() > 1:
            trainer.loss = prepare_model(
                trainer.loss,
                parallel_strategy_kwargs={"find_unused_parameters": True, "broadcast_buffers": False},
            )
        if state is not None and number == last_phase:
            trainer.load_state_dict(state["trainer"])
        first_epoch, done = divmod(trainer.step_number, steps)
        if rank == 0:
            where = f"after step {trainer.step_number} of {steps * phase.epochs} of phase {phase.name}"
            each = f"{stream.share.batch} image(s) a step each"
            print(f"{run.name}: {context.get_world_size()} worker(s), {where}, {each}", flush=True)
        progress: EpochProgress | None = None
        for epoch, batches in stream.epochs(first_epoch, phase.epochs, done):
            first_step = step_total + epoch * steps
            progress = EpochProgress(run, phase, number, epoch, steps, first_step, rank, board, progress, done)
            for examples in batches:
                batch = to_batch(examples, task.vocabulary.pad_id, model.device)
                progress.add(trainer.step(batch), context.get_world_size() * len(examples["image_id"]))
                if progress.count < steps and rhythm.due(trainer.step_number):
                    problems |= _all_problems(stream.problems)
                    report(trainer, number, progress.metrics(), problems, rank)
            problems |= _all_problems(stream.problems)
            progress.end(trainer.term_use.take())
            report(trainer, number, progress.metrics(), problems, rank)
            done = 0
        step_total += steps * phase.epochs
    if rank == 0:
        facts = {
            "run": run.name,
            "run_fingerprint": task.run_fingerprint,
            "data": task.source.location,
            "steps": step_total,
            **task.origin,
        }
        save_model(model, task.out, training=facts)
    if board is not None:
        board.close()


def _stream(task: WorkerTask, model: LexLIP | DenseCLIP, phase: Phase, number: int) -> ExampleStream:
    context = ray.train.get_context()
    world = context.get_world_size()
    if phase.batch < world:
        raise ModelError(f"phase {phase.name}: a batch of {phase.batch} cannot be shared by {world} workers")
    preprocessing = replace(model.preprocessing, size=phase.image_size)
    share = StreamShare(
        rank=context.get_world_rank(),
        world=world,
        batch=phase.batch // world,
        steps=max(1, task.source.rows // phase.batch),
        shuffle_rows=task.run.shuffle_rows // world,
        seed=task.run.seed * 1000 + number,
    )
    return ExampleStream(task.source.units, ExampleBuilder(task.vocabulary, preprocessing, phase.examples), share)


def _all_problems(problems: dict[str, str]) -> dict[str, str]:
    """The bad rows that any worker met."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return dict(problems)
    gathered: list[dict[str, str] | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, problems)
    return {image_id: reason for part in gathered if part for image_id, reason in part.items()}
