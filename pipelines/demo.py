"""The whole way, small: drawn scenes, vocabulary, training, encoding, index, evaluation, comparison, one served query.

    python pipelines/demo.py

Everything runs on one Ray inside this program and lands in out/demo. Stages that have finished are not done again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO, require_lasting
from pipelines.demo_stages import DemoSettings, run_demo


@dataclass(frozen=True)
class Demo:
    """Run the demo.

    Attributes:
        out: folder for all of it.
        settings: sizes.
    """

    out: Path = DEMO
    settings: Annotated[DemoSettings, tyro.conf.arg(name="")] = field(default_factory=DemoSettings)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Demo)
    require_lasting(out=job.out)
    # Ray Train reports the state of its workers through the dashboard, and complains at length without it.
    with cluster_session(dashboard=True):
        run_demo(job.out, job.settings)


if __name__ == "__main__":
    run_main(main)
