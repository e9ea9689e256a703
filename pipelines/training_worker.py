"""What each Ray Train worker does: phases, epochs, steps; a checkpoint at the end of every epoch; progress and metrics.

A checkpoint names the last finished epoch. What follows from it is what would have followed without an interruption:
within a phase everything that the next step depends on is loaded, and a new phase starts from the weights of the one
before it.
"""

import math
import pickle
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import get_device, prepare_model
from torch import distributed
from torch.utils.tensorboard import SummaryWriter

from lexlip.data.examples import ExampleBuilder
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.data.sources import PairSource
from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import save_model
from lexlip.objectives.health import health_warnings
from lexlip.training.phases import Phase
from lexlip.training.run import Run
from lexlip.training.step import PhaseTrainer, load_weights, to_batch
from lexlip.vocabulary import Vocabulary
from pipelines.training_stream import ExampleStream, StreamShare

STATE_FILE = "state.pt"
PROGRESS_SECONDS = 10.0


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
    """

    run: Run
    run_fingerprint: str
    source: PairSource
    vocabulary: Vocabulary
    out: str
    logs: str
    threads: int


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
    state = _last_state()
    last_phase, last_epoch = (state["phase"], state["epoch"]) if state else (0, -1)
    problems: dict[str, str] = dict(state["problems"]) if state else {}
    board = SummaryWriter(task.logs) if rank == 0 else None
    step_total = 0
    for number, phase in enumerate(run.phases):
        stream = _stream(task, model, phase, number)
        steps = stream.steps_per_epoch()
        if (number, phase.epochs - 1) <= (last_phase, last_epoch):
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
        first_epoch = 0
        progress: EpochProgress | None = None
        if state is not None and number == last_phase:
            trainer.load_state_dict(state["trainer"])
            first_epoch = last_epoch + 1
        for epoch, batches in stream.epochs(first_epoch, phase.epochs):
            first_step = step_total + epoch * steps
            progress = EpochProgress(run, phase, number, epoch, steps, first_step, rank, board, progress)
            for examples in batches:
                batch = to_batch(examples, task.vocabulary.pad_id, model.device)
                progress.add(trainer.step(batch), context.get_world_size() * len(examples["image_id"]))
            problems |= _all_problems(stream.problems)
            progress.end(trainer.term_use.take())
            _report(trainer, number, epoch, phase, progress.means(), problems, rank)
        step_total += steps * phase.epochs
    if rank == 0:
        facts = {
            "run": run.name,
            "run_fingerprint": task.run_fingerprint,
            "data": task.source.location,
            "steps": step_total,
        }
        if teacher is not None:
            facts["teacher"] = teacher.fingerprint
        save_model(model, task.out, training=facts)
    if board is not None:
        board.close()


class EpochProgress:
    """Means of what the steps of one epoch return; rank 0 prints a line now and then and writes TensorBoard.

    A lexicon in bad health is warned of, each way once an epoch. `before` is the epoch before in the same phase.
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
    ) -> None:
        self.title = f"{run.name}: {phase.name} ({phase_number + 1}/{len(run.phases)})"
        self.title += f" epoch {epoch + 1}/{phase.epochs}"
        self.steps, self.first_step, self.rank, self.board = steps, first_step, rank, board
        self.sums: dict[str, float] = {}
        self.term_use: dict[str, float] = {}
        self.term_use_before = before.term_use if before is not None else None
        self.warned: set[str] = set()
        self.count = self.images = 0
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
        means = {name: total / max(1, self.count) for name, total in self.sums.items()}
        return means | self.term_use | {"images_per_second": speed}


def _stream(task: WorkerTask, model: LexLIP | DenseCLIP, phase: Phase, number: int) -> ExampleStream:
    context = ray.train.get_context()
    world = context.get_world_size()
    if phase.batch % world:
        raise ModelError(f"phase {phase.name}: a batch of {phase.batch} cannot be shared by {world} workers")
    settings = model.preprocessing
    preprocessing = ImagePreprocessing(phase.image_size, settings.mean, settings.std, settings.resize)
    share = StreamShare(
        rank=context.get_world_rank(),
        world=world,
        batch=phase.batch // world,
        shuffle_rows=task.run.shuffle_rows // world,
        seed=task.run.seed * 1000 + number,
    )
    return ExampleStream(task.source.units, ExampleBuilder(task.vocabulary, preprocessing, phase.examples), share)


def _last_state() -> dict[str, Any] | None:
    """What `_report` wrote last; None at the very start."""
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


def _report(
    trainer: PhaseTrainer,
    phase_number: int,
    epoch: int,
    phase: Phase,
    means: dict[str, float],
    problems: dict[str, str],
    rank: int,
) -> None:
    """Reports metrics of all workers and, from rank 0, a checkpoint."""
    metrics: dict[str, Any] = means | {"phase": phase.name, "epoch": epoch, "problems": problems}
    if rank != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        state = {"phase": phase_number, "epoch": epoch, "trainer": trainer.state_dict(), "problems": problems}
        torch.save(state, Path(folder) / STATE_FILE)
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))


def _all_problems(problems: dict[str, str]) -> dict[str, str]:
    """The bad rows that any worker met."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return dict(problems)
    gathered: list[dict[str, str] | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, problems)
    return {image_id: reason for part in gathered if part for image_id, reason in part.items()}
