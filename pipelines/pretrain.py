"""Pre-trains and fine-tunes a model on Ray.

    python pipelines/pretrain.py                                   # the demo's run on the demo's data, drawn if need be
    python pipelines/pretrain.py --run flickr8k-cpu --data ... --out ...

The same command again goes on from the last finished epoch.
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from lexlip.training.runs import find_run
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO
from pipelines.demo_data import draw_if_default
from pipelines.training import TrainingResources, train


@dataclass(frozen=True)
class PretrainArguments:
    """Settings of a training job.

    Attributes:
        run: a named run of lexlip/training/runs.py, or path/to/file.py:function.
        data: training pairs: Parquet files, a glob, a folder, or an image folder with captions.
        out: folder of the finished model; work in progress is kept beside it.
        resources: workers and their CPUs.
    """

    run: str = "demo"
    data: str = str(DEMO / "data" / "train")
    out: Path = DEMO / "lexlip"
    resources: TrainingResources = field(default_factory=TrainingResources)


def main() -> None:
    """Parse, train, report."""
    arguments = tyro.cli(PretrainArguments, description=__doc__)
    run = find_run(arguments.run)
    draw_if_default(arguments.data)
    with cluster_session(dashboard=True):
        train(run, arguments.data, arguments.out, arguments.resources).print()


if __name__ == "__main__":
    run_main(main)
