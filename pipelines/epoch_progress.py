"""What a training worker says of an epoch while it lasts: lines, TensorBoard, warnings of a lexicon in bad health."""

import math
import time
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from lexlip.errors import ModelError
from lexlip.objectives.health import health_warnings
from lexlip.training.phases import Phase
from lexlip.training.run import Run

PROGRESS_SECONDS = 10.0


class EpochProgress:
    """Means of what the steps of one epoch return; rank 0 prints a line now and then and writes TensorBoard.

    A lexicon in bad health is warned of, each way once an epoch. `done` steps of the epoch were taken before training
    was interrupted; `before` is the epoch before in the same phase.
    """

    def __init__(
        self,
        run: Run,
        phase: Phase,
        phase_number: int,
        epoch: int,
        steps: int,
        first_step: int,
        rank: int,
        board: SummaryWriter | None,
        before: "EpochProgress | None" = None,
        done: int = 0,
    ) -> None:
        self.phase, self.epoch = phase, epoch
        self.title = f"{run.name}: {phase.name} ({phase_number + 1}/{len(run.phases)})"
        self.title += f" epoch {epoch + 1}/{phase.epochs}"
        self.steps, self.first_step, self.rank, self.board = steps, first_step, rank, board
        self.sums: dict[str, float] = {}
        self.term_use: dict[str, float] = {}
        self.term_use_before = before.term_use if before is not None else None
        self.warned: set[str] = set()
        self.done = self.count = done
        self.images = 0
        self.began = time.perf_counter()
        self.printed = self.began

    def add(self, watched: dict[str, torch.Tensor], images: int) -> None:
        """Counts one step over `images` images of all workers.

        Raises:
            ModelError: the gradient was not finite, which has spoilt every weight; checkpoints are from before.
        """
        self.count += 1
        self.images += images
        values = {name: float(value) for name, value in watched.items()}
        if not math.isfinite(values["gradient_norm"]):
            raise ModelError(
                f"{self.title} step {self.count}/{self.steps}: the gradient is not finite (loss {values['loss']:g}); "
                "lower the learning rates and train anew: a run goes on from its checkpoints only as it began"
            )
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.first_step + self.count)
        now = time.perf_counter()
        if self.rank == 0 and (now - self.printed > PROGRESS_SECONDS or self.count == self.steps):
            self.printed = now
            shown = " ".join(f"{name} {value:.3g}" for name, value in self.means().items())
            print(f"{self.title} step {self.count}/{self.steps}: {shown}", flush=True)
            self._warn(values)  # of this step alone: means over a long epoch would notice late

    def end(self, term_use: dict[str, float]) -> None:
        """Adds what was counted over the whole epoch."""
        self.term_use = term_use
        if self.board is not None:
            for name, value in term_use.items():
                self.board.add_scalar(name, value, self.first_step + self.count)
            self.board.flush()  # steps before a checkpoint are not taken again, so their figures must not be lost
        if self.rank == 0:
            self._warn(term_use)

    def _warn(self, figures: dict[str, float]) -> None:
        for warning in health_warnings(figures, self.term_use_before):
            kind = "".join(letter for letter in warning if not letter.isdigit())  # the same trouble with other figures
            if kind not in self.warned:
                self.warned.add(kind)
                print(f"{self.title} step {self.count}/{self.steps}: warning: {warning}", flush=True)

    def means(self) -> dict[str, float]:
        """Means so far, and images a second."""
        speed = self.images / max(1e-9, time.perf_counter() - self.began)
        means = {name: total / max(1, self.count - self.done) for name, total in self.sums.items()}
        return means | self.term_use | {"images_per_second": speed}

    def metrics(self) -> dict[str, Any]:
        """What is kept with a checkpoint: the means so far, and of what they are."""
        return self.means() | {"phase": self.phase.name, "epoch": self.epoch}
