"""Pre-trains and fine-tunes a model on Ray.

    python pipelines/pretrain.py                                   # the demo's run on the demo's data, drawn if need be
    python pipelines/pretrain.py --run flickr8k-cpu --data ... --out ...

    python pipelines/pretrain.py --run flickr8k-cpu-distilled --teacher DENSE_MODEL --data ... --out ...

    python pipelines/pretrain.py --run coco-gpu-fine-tuning --start-from MODEL --data ... --out ...

    python pipelines/pretrain.py --run coco-gpu --dry-run          # parameters, memory and steps; trains nothing

The same command again goes on from the last finished epoch.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from lexlip.training.runs import find_run
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO, require_lasting
from pipelines.demo_data import draw_if_default
from pipelines.dry_run import dry_run
from pipelines.training import TrainingResources, train


@dataclass(frozen=True)
class PretrainArguments:
    """Settings of a training job.

    Attributes:
        run: a named run of lexlip/training/runs.py, or path/to/file.py:function.
        data: training pairs: Parquet files, a glob, a folder, or an image folder with captions.
        out: folder of the finished model; work in progress is kept beside it.
        teacher: folder of a dense model that the run's phases follow; for runs that have such phases.
        start_from: folder of a finished model of the run's kind that training goes on from: fine-tuning.
        resources: workers and their CPUs.
        dry_run: print what the run will cost, and end.
    """

    run: str = "demo"
    data: str = str(DEMO / "data" / "train")
    out: Path = DEMO / "lexlip"
    teacher: str | None = None
    start_from: str | None = None
    resources: TrainingResources = field(default_factory=TrainingResources)
    dry_run: bool = False


def main() -> None:
    """Parse, train, report."""
    arguments = tyro.cli(PretrainArguments, description=__doc__)
    run = find_run(arguments.run)
    if arguments.teacher is not None:
        run = replace(run, teacher=arguments.teacher)
    if arguments.start_from is not None:
        run = replace(run, start_from=arguments.start_from)
    if arguments.dry_run:
        dry_run(run, arguments.data, arguments.resources.workers or 1).print()
        return
    require_lasting(out=arguments.out)
    draw_if_default(arguments.data)
    with cluster_session(dashboard=True):
        train(run, arguments.data, arguments.out, arguments.resources).print()


if __name__ == "__main__":
    run_main(main)
