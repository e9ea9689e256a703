"""Training on Ray: from a run, a data set and an output folder to a model folder."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train import CheckpointConfig, ControllerError, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from lexlip.data.sources import open_pairs
from lexlip.errors import ModelError
from lexlip.model.saving import CONFIG_FILE, FORMAT_VERSION
from lexlip.training.run import Run
from pipelines.cluster_session import user_error
from pipelines.memory_allocator import GLIBC_TUNABLES
from pipelines.training_worker import WorkerTask, train_worker

UNIT_ROWS = 128  # small units mix better; reading one costs little beside decoding it
KEPT_CHECKPOINTS = 2
SHOWN_PROBLEMS = 20
TRAIN_ENVIRONMENT = {
    # With the default of 2 s every checkpoint costs over a second, and one reported just before a worker dies is lost;
    # at 0.2 s the controller takes a tenth of a core.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Train's replacement of print shows every line twice.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}


@dataclass(frozen=True)
class TrainingResources:
    """Where training runs.

    Attributes:
        workers: data-parallel training workers; None takes one per GPU, or one on a cluster without.
        least_workers: training also begins, and after a loss goes on, with as few as these, and takes more as soon as
            the cluster has room for them; None always wants all of `workers`.
        worker_cpus: CPUs reserved by each worker; the rest is for decoding.
        threads: of tensor operations of a worker on CPUs; None shares the machine's CPUs among the workers.
        most_failures: how often training may be restarted from its last checkpoint after a worker died; nodes that
            were taken away with notice (preempted) do not count.
        checkpoint_steps: optimiser steps between two checkpoints within an epoch. An epoch ends with one in any case,
            and one is written at once when a node is about to be taken away.
    """

    workers: int | None = None
    least_workers: int | None = None
    worker_cpus: float = 0.5
    threads: int | None = None
    most_failures: int = 3
    checkpoint_steps: int = 500


@dataclass(frozen=True)
class TrainingSummary:
    """What training made; kept as `summary.json` in the work folder.

    Attributes:
        model: the model folder.
        metrics: means over the last epoch.
        dropped_rows: bad rows that were left out.
        dropped: the first of them, image id and reason.
    """

    model: str
    metrics: dict[str, float]
    dropped_rows: int
    dropped: dict[str, str]

    def print(self) -> None:
        """Says what was made and which rows were left out."""
        shown = ", ".join(f"{name} {value:.3g}" for name, value in self.metrics.items())
        print(f"pretrain: {self.model} ({shown})", flush=True)
        if self.dropped_rows:
            print(f"pretrain: {self.dropped_rows} bad row(s) left out:")
            for reason in self.dropped.values():
                print(f"  {reason}")


class UserErrorsEndTraining(UserCallback):
    """Ends training at the first `LexLIPError` of a worker: starting again would only meet it again.

    Ray Train starts the workers again after any error of theirs, but not after one of its controller, where this runs.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raises the error as the controller's own."""
        for error in worker_exceptions.values():
            cause = user_error(error)
            if cause is not None:
                raise ControllerError(cause)


def train(run: Run, data: str, out: Path, resources: TrainingResources | None = None) -> TrainingSummary:
    """Trains a model, or goes on with an interrupted training of the same run, data and folder.

    Args:
        run: what to train.
        data: training pairs, as for `open_pairs`.
        out: folder of the finished model; work in progress is kept beside it in `<out>.training`.
        resources: workers and their CPUs.

    Raises:
        DataError: the data cannot be used.
        ModelError: `out` or its work folder belong to another run, the resources make no sense, or there is no model to
            fine-tune.
        ControllerError: a worker met a `LexLIPError`, which `user_error` finds inside.
    """
    run.require_origin()
    resources = resources or TrainingResources()
    cluster = ray.cluster_resources()
    gpus = int(cluster.get("GPU", 0))
    workers = resources.workers or max(1, gpus)
    least = resources.least_workers or workers
    if least > workers:
        raise ModelError(f"least_workers={least} are more than the {workers} worker(s) wanted; lower it")
    if least < 1 or resources.checkpoint_steps < 1:
        raise ModelError("least_workers and checkpoint_steps have to be at least 1")
    source = open_pairs(data, unit_rows=UNIT_ROWS)
    out = out.absolute()
    work = out.with_name(out.name + ".training")
    # What is wrong with the teacher shows before anything is trained, and before the folder belongs to the run.
    vocabulary = run.make_vocabulary(source)
    teacher = run.load_teacher(vocabulary)
    origin = {"teacher": teacher.fingerprint} if teacher is not None else {}
    if run.start_from is not None:
        origin["started_from"] = run.build(vocabulary).fingerprint
    _claim(work, out, run, data, origin)
    summary_file = work / "summary.json"
    if summary_file.is_file() and _is_finished(out, run):
        print(f"pretrain: {out} is finished already", flush=True)
        return TrainingSummary(**_read_json(summary_file))
    threads = resources.threads or max(1, int(cluster.get("CPU", 1)) // workers)
    for name, value in TRAIN_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    trainer = TorchTrainer(
        train_worker,  # type: ignore[arg-type]
        train_loop_config=WorkerTask(  # type: ignore[arg-type]
            run=run.with_absolute_paths(),
            run_fingerprint=run.fingerprint,
            source=source,
            vocabulary=vocabulary,
            out=str(out),
            logs=str(work / "tensorboard"),
            threads=threads,
            checkpoint_steps=resources.checkpoint_steps,
            origin=origin,
        ),
        scaling_config=ScalingConfig(
            num_workers=(least, workers) if least < workers else workers,  # type: ignore[arg-type]
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": resources.worker_cpus},
            # Workers on CPUs reserve little, and would all be packed onto one machine while the others stand idle.
            placement_strategy="PACK" if gpus else "SPREAD",
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=str(work),
            failure_config=FailureConfig(max_failures=resources.most_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
            callbacks=[UserErrorsEndTraining()],  # type: ignore[list-item]
            worker_runtime_env={"env_vars": {"GLIBC_TUNABLES": GLIBC_TUNABLES}},  # type: ignore[call-arg]
        ),
    )
    print(f"pretrain: {run.name} on {source.rows:,} images of {data}, {len(vocabulary):,} terms", flush=True)
    metrics = dict(trainer.fit().metrics or {})
    problems = metrics.pop("problems", {})
    summary = TrainingSummary(
        model=str(out),
        metrics={name: value for name, value in metrics.items() if isinstance(value, float)},
        dropped_rows=len(problems),
        dropped=dict(list(problems.items())[:SHOWN_PROBLEMS]),
    )
    _write_json(summary_file, asdict(summary))
    return summary


def _claim(work: Path, out: Path, run: Run, data: str, origin: dict[str, str]) -> None:
    """Makes the work folder this run's own, or checks that it is."""
    claim = {"run": run.name, "fingerprint": run.fingerprint, "data": data, **origin}
    file = work / "run.json"
    if file.is_file():
        found = _read_json(file)
        if found != claim:
            raise ModelError(
                f"{work} belongs to run {found.get('run')!r} on {found.get('data')!r} or to other settings, another "
                "teacher or another start; choose another --out, or move that folder away to start again"
            )
        return
    if out.exists():
        raise ModelError(f"{out} exists already and this run did not make it; choose another --out, or move it away")
    work.mkdir(parents=True, exist_ok=True)
    _write_json(file, claim)


def _is_finished(out: Path, run: Run) -> bool:
    file = out / CONFIG_FILE
    if not file.is_file():
        return False
    facts = _read_json(file)
    trained = facts.get("training", {}).get("run_fingerprint")
    return trained == run.fingerprint and facts.get("format_version") == FORMAT_VERSION


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise ModelError(f"{file} cannot be read ({error}); move its folder away to start again") from error
    return values


def _write_json(file: Path, values: dict) -> None:
    fresh = file.with_suffix(".tmp")
    fresh.write_text(json.dumps(values, indent=2) + "\n")
    fresh.replace(file)
