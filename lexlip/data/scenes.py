"""A generated data set: drawn scenes with captions, the same for the same seed.

Every picture shows one to three groups of things of a colour, a size, a count and a place, in front of a setting; what
it shows is told by several captions that differ in words and in what they leave out. It needs no download and no
licence, a small model learns it in minutes, and the concepts in each picture are known.
"""

import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from lexlip.data.scene_backdrops import paint_backdrop
from lexlip.data.scene_captions import tell
from lexlip.data.scene_layout import CONCEPTS, CONCEPTS_BY_KIND, FORMATIONS, SHARED_SCALE, SIZES, Scene, draw_lots
from lexlip.data.scene_objects import THINGS
from lexlip.data.scene_pen import COLOURS, Pen
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA

__all__ = ["CONCEPTS", "CONCEPTS_BY_KIND", "SCENE_SCHEMA", "SceneSettings", "make_scene", "write_scenes"]

SCENE_SCHEMA = PAIR_SCHEMA.append(pa.field("concepts", pa.list_(pa.string())))
SUPERSAMPLING = 2  # drawn this much larger, then reduced: smooth edges
BACKDROP_VARIANTS = 8  # of each setting; painted once and copied
LARGEST_TILT = 0.12  # radians
JPEG_QUALITY = 92
ROW_GROUP_ROWS = 256


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are made.

    Attributes:
        image_size: side of the square pictures, in pixels.
        captions: for each picture.
        shard_rows: most pictures in one Parquet file.
    """

    image_size: int = 128
    captions: int = 5
    shard_rows: int = 1024

    def __post_init__(self) -> None:
        if self.image_size < 16 or self.captions < 1 or self.shard_rows < 1:
            raise DataError("scenes need image_size >= 16, captions >= 1 and shard_rows >= 1")


@dataclass(frozen=True)
class DrawnScene:
    """One generated example.

    Attributes:
        scene: what it shows.
        image: RGB picture.
        captions: different sentences about it.
    """

    scene: Scene
    image: Image.Image = field(compare=False)
    captions: list[str]


def make_scene(seed: int, position: int, settings: SceneSettings) -> DrawnScene:
    """The scene at one position of the endless series that a seed stands for."""
    rng = np.random.default_rng([seed, position])
    scene = draw_lots(rng)
    return DrawnScene(scene, draw(scene, settings.image_size, rng), tell(scene, settings.captions, rng))


def draw(scene: Scene, image_size: int, rng: np.random.Generator) -> Image.Image:
    """The picture of a scene; `rng` moves, turns and mirrors things a little and picks the variant of the backdrop."""
    side = image_size * SUPERSAMPLING
    canvas = _backdrop(scene.setting, side, int(rng.integers(BACKDROP_VARIANTS))).copy()
    pencil = ImageDraw.Draw(canvas)
    scale = side * (1.0 if len(scene.groups) == 1 else SHARED_SCALE)
    for group in scene.groups:
        diameter = SIZES[group.size] * scale * rng.uniform(0.92, 1.08)
        x, y = (share * side + rng.uniform(-0.03, 0.03) * side for share in group.centre)
        offsets = FORMATIONS[group.count - 1]
        # A group keeps clear of the border, wherever its place and size would put it.
        x = _inside(x, max(abs(across) for across, _ in offsets) * diameter + diameter / 2, side)
        y = _inside(y, max(abs(down) for _, down in offsets) * diameter + diameter / 2, side)
        mirrored = bool(rng.random() < 0.5)
        for across, down in offsets:
            tilt = float(rng.uniform(-LARGEST_TILT, LARGEST_TILT))
            centre_x, centre_y = x + across * diameter, y + down * diameter
            THINGS[group.thing](Pen(pencil, centre_x, centre_y, diameter / 2, tilt, mirrored, COLOURS[group.colour]))
    return canvas.reduce(SUPERSAMPLING)


def write_scenes(
    folder: str | Path, count: int, seed: int, *, settings: SceneSettings | None = None, prefix: str = "scenes"
) -> list[Path]:
    """Writes scenes as Parquet shards with the columns of `SCENE_SCHEMA`, each published by rename.

    Args:
        folder: made if needed; may hold shards of an earlier call with the same prefix, which are replaced.
        count: scenes.
        seed: of the series; take another one for another split. Image ids name it, so they never collide.
        settings: the defaults of `SceneSettings` if none.
        prefix: of the file names.

    Returns:
        The shards' paths, in order.

    Raises:
        DataError: `count` is not positive, or the folder holds other Parquet files, which would mix with these.
    """
    if count < 1:
        raise DataError(f"count must be at least 1, not {count}")
    settings = settings or SceneSettings()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, settings.shard_rows)
    paths = [folder / f"{prefix}-{shard:05d}.parquet" for shard in range(len(starts))]
    others = sorted(file.name for file in folder.glob("*.parquet") if file not in paths)
    if others:
        raise DataError(f"{folder} holds other Parquet files ({others[0]}, ...): give an empty folder, or remove them")
    for path, start in zip(paths, starts, strict=True):
        table = _table(seed, range(start, min(start + settings.shard_rows, count)), settings)
        temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        pq.write_table(table, temporary, row_group_size=ROW_GROUP_ROWS)
        temporary.replace(path)
    return paths


def _table(seed: int, positions: range, settings: SceneSettings) -> pa.Table:
    scenes = [make_scene(seed, position, settings) for position in positions]
    columns = {
        "image_id": [f"scene-{seed}-{position:06d}" for position in positions],
        "image": [_jpeg(drawn.image) for drawn in scenes],
        "captions": [drawn.captions for drawn in scenes],
        "concepts": [list(drawn.scene.concepts) for drawn in scenes],
    }
    return pa.table(columns, schema=SCENE_SCHEMA)


@lru_cache(maxsize=256)
def _backdrop(setting: str, side: int, variant: int) -> Image.Image:
    return paint_backdrop(setting, side, variant)


def _inside(centre: float, reach: float, side: int) -> float:
    return min(max(centre, reach), side - reach) if 2 * reach < side else side / 2


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)  # full colour resolution: colours are named
    return buffer.getvalue()
