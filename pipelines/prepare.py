"""Makes pairs of any kind ready for training: one folder of Parquet per split, and a summary.

    python pipelines/prepare.py --data 'cc3m/*.tar' --out data/cc3m --val-share 0.01
    python pipelines/prepare.py --recipe flickr30k --root downloads/flickr30k --out data/flickr30k

The same command again goes on where it stopped. What `--data` may be is told in lexlip/data/sources.py.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lexlip.data.preparing import PrepareSettings
from lexlip.data.recipes import RECIPES
from lexlip.errors import DataError
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import require_lasting
from pipelines.preparing import prepare_source


@dataclass(frozen=True)
class Prepare:
    """Make pairs ready for training.

    Attributes:
        out: folder for the splits: train, and val and test if there are any.
        data: location of the pairs.
        recipe: instead of data, a known data set, whose files lie under root.
        root: folder with the files of the recipe.
        settings: what becomes of the rows.
    """

    out: Path
    data: str | None = None
    recipe: Literal["flickr8k", "flickr30k", "coco", "conceptual-captions"] | None = None
    root: Path | None = None
    settings: Annotated[PrepareSettings, tyro.conf.arg(name="")] = field(default_factory=PrepareSettings)

    def source(self) -> tuple[str, PrepareSettings]:
        """What to read, and how.

        Raises:
            DataError: neither data nor a recipe with its root is given, or both; files of the recipe are missing.
        """
        if self.recipe is None:
            if self.data is None or self.root is not None:
                raise DataError("give --data LOCATION, or --recipe NAME with --root FOLDER")
            return self.data, self.settings
        if self.data is not None or self.root is None:
            raise DataError(f"--recipe {self.recipe} takes --root FOLDER, where its files lie, and no --data")
        recipe = RECIPES[self.recipe]
        return recipe.locate(self.root), replace(self.settings, own_splits=recipe.own_splits)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Prepare)
    require_lasting(out=job.out)
    data, settings = job.source()
    with cluster_session():
        prepare_source(data, job.out, settings)


if __name__ == "__main__":
    run_main(main)
