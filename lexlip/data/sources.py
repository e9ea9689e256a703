"""Where pairs come from: Parquet files and image folders, locally or behind an fsspec URL."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class PairUnit:
    """A piece of a source that one task reads: small, picklable. Subclasses say which file and rows."""

    rows: int


@dataclass(frozen=True)
class PairSource:
    """A located data set: its units in a fixed order. Nothing of the images has been read yet."""

    location: str
    units: tuple[PairUnit, ...]

    @property
    def rows(self) -> int: ...


def open_pairs(location: str, *, captions_required: bool = True, unit_rows: int = 256) -> PairSource:
    """Parquet file / glob / folder, or an image folder with metadata.jsonl or captions.jsonl. Raises DataError."""
    ...


def read_unit(unit: PairUnit, *, batch_rows: int = 64) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows: image_id string, image binary (null when missing), captions list<string>, then the
    source's other columns."""
    ...
