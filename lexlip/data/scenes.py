"""A generated data set: drawn scenes with captions, the same for the same seed."""

from dataclasses import dataclass
from pathlib import Path

CONCEPTS: tuple[str, ...] = ()


@dataclass(frozen=True)
class SceneSettings:
    image_size: int = 128
    captions: int = 5
    shard_rows: int = 1024


def write_scenes(
    folder: str | Path, count: int, seed: int, *, settings: SceneSettings = SceneSettings(), prefix: str = "scenes"
) -> list[Path]:
    """Parquet shards with columns image_id, image, captions, concepts; returns their paths."""
    ...
