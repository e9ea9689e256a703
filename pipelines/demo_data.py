"""The demo's drawn scenes: what the defaults of all pipelines work on."""

from dataclasses import dataclass
from pathlib import Path

from lexlip.data.scenes import write_scenes
from pipelines.default_paths import DEMO, require_lasting


@dataclass(frozen=True)
class DemoData:
    """How many scenes are drawn.

    Attributes:
        train_images: scenes that the models learn from.
        val_images: scenes that are indexed, searched and evaluated.
        seed: of the scenes; validation scenes have the next one.
    """

    train_images: int = 1600
    val_images: int = 1500
    seed: int = 1


def draw_demo_data(folder: Path, data: DemoData) -> None:
    """Draws `train` and `val` into a folder."""
    for name, count, seed in (("train", data.train_images, data.seed), ("val", data.val_images, data.seed + 1)):
        write_scenes(folder / name, count, seed)
        print(f"data: {count:,} drawn scenes with captions -> {folder / name}", flush=True)


def draw_if_default(location: str) -> None:
    """Draws the demo's data when `location` is the demo's own and is not there: a default then works anywhere."""
    folder = DEMO / "data"
    if Path(location) in (folder / "train", folder / "val") and not Path(location).exists():
        require_lasting(data=location)
        draw_demo_data(folder, DemoData())
