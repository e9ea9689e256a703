"""What a training run will cost, in words, before anything is read but the number of pairs."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lexlip.data.sources import open_pairs
from lexlip.training.estimate import PhaseEstimate, RunEstimate, estimate_run
from lexlip.training.run import Run
from lexlip.vocabulary import Vocabulary
from pipelines.default_paths import DEMO

GIGABYTE = 1e9


@dataclass(frozen=True)
class DryRun:
    """An estimate and where its numbers come from.

    Attributes:
        run: what would be trained.
        estimate: its costs.
        images_from, terms_from: where the numbers of images and terms come from.
        half_precision: activations were counted in 2 bytes, as on a GPU.
    """

    run: Run
    estimate: RunEstimate
    images_from: str
    terms_from: str
    half_precision: bool

    def print(self) -> None:
        """One line for the model, one for the data, one for each phase."""
        estimate = self.estimate
        parts = ", ".join(f"{name} {_millions(count)}" for name, count in estimate.parameters.items())
        print(f"{self.run.name}: {_millions(sum(estimate.parameters.values()))} parameters ({parts})")
        print(f"  {estimate.images:,} images ({self.images_from}), {estimate.terms:,} terms ({self.terms_from})")
        for phase, planned in zip(estimate.phases, self.run.phases, strict=True):
            print(
                f"  {phase.name}: {phase.steps:,} steps ({planned.epochs} epoch(s) of {planned.batch:,} images a step, "
                f"{planned.image_size} pixels), {_millions(phase.learning)} learn; {_memory(phase)}"
            )
        precision = "half" if self.half_precision else "single"
        print(
            f"  {sum(phase.steps for phase in estimate.phases):,} steps in all, {estimate.workers} worker(s), "
            f"activations in {precision} precision"
        )


def dry_run(run: Run, data: str, workers: int) -> DryRun:
    """Estimates a run.

    Images are counted in the data; with the default data, a run that says how many it is meant for is believed. Terms
    are counted in the run's vocabulary where it is there. Activations count in half precision on a machine with a GPU,
    and everywhere for runs that say how many images they are meant for, which are meant for GPUs.

    Raises:
        DataError: the data cannot be read.
    """
    images, images_from = _images(run, data)
    terms, terms_from = _terms(run)
    half_precision = torch.cuda.is_available() or run.images is not None
    estimate = estimate_run(run, terms, images, workers, half_precision)
    return DryRun(run, estimate, images_from, terms_from, half_precision)


def _images(run: Run, data: str) -> tuple[int, str]:
    if run.images is not None and Path(data) == DEMO / "data" / "train":
        return run.images, "as the run says; give --data to count yours"
    return open_pairs(data).rows, data


def _terms(run: Run) -> tuple[int, str]:
    settings = run.vocabulary
    if settings.folder is None:
        return settings.size, "to be trained from captions, at most"
    if not Path(settings.folder).is_dir():
        return settings.size, f"as the run says; {settings.folder} is not there to be counted"
    at_most = ", at most: restricted to the captions' own" if settings.restrict else ""
    return len(Vocabulary.load(settings.folder)), settings.folder + at_most


def _memory(phase: PhaseEstimate) -> str:
    parts = {"weights": phase.weights_bytes, "activations": phase.activations_bytes, "vectors": phase.vectors_bytes}
    if phase.remembered_bytes:
        parts["remembered"] = phase.remembered_bytes
    shown = ", ".join(f"{name} {size / GIGABYTE:.1f}" for name, size in parts.items())
    return f"about {phase.bytes / GIGABYTE:.1f} GB a worker ({shown})"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
