"""Where pairs come from: files of many kinds, on disk or behind an fsspec URL, cut into units of work.

`open_pairs` looks at names, footers, headers and annotations only; images are read by `read_unit`, wherever that runs.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from lexlip.data.annotation_json import AnnotationUnit, annotation_units, read_annotations
from lexlip.data.arrow_pairs import ArrowUnit, arrow_units, read_arrow
from lexlip.data.captioned_files import CaptionedFilesUnit, captioned_files_units, read_captioned_files
from lexlip.data.image_folder import ImageFolderUnit, image_folder_units, read_image_folder
from lexlip.data.locations import Location, find_files
from lexlip.data.parquet_pairs import ParquetUnit, parquet_units, read_parquet
from lexlip.data.tar_pairs import TarUnit, read_tar, tar_units
from lexlip.data.tsv_pairs import TsvUnit, read_tsv, tsv_units
from lexlip.errors import DataError
from lexlip.storage import reaching

PairUnit = ParquetUnit | ImageFolderUnit | TarUnit | ArrowUnit | CaptionedFilesUnit | AnnotationUnit | TsvUnit

UNIT_ROWS = 256  # a few seconds of decoding and augmenting: long beside a task's overhead, short to lose
BATCH_ROWS = 64  # rows in memory at once while reading; 64 photos of a camera are about 300 MB
FILES_AT_ONCE = 16  # footers fetched in parallel; the wait is for the network, not the processor

# What a file is, by its suffix; a folder has none. Files of other names are taken for Parquet.
_UNITS_OF: dict[str, Callable[..., Iterator[PairUnit]]] = {
    ".parquet": parquet_units,
    ".jsonl": image_folder_units,
    ".tar": tar_units,
    ".arrow": arrow_units,
    ".json": annotation_units,
    ".tsv": tsv_units,
}
_READERS: dict[type, Callable[[Any, int], Iterator[pa.Table]]] = {
    ParquetUnit: read_parquet,
    ImageFolderUnit: read_image_folder,
    TarUnit: read_tar,
    ArrowUnit: read_arrow,
    CaptionedFilesUnit: read_captioned_files,
    AnnotationUnit: read_annotations,
    TsvUnit: read_tsv,
}


@dataclass(frozen=True)
class PairSource:
    """A located data set: its units in a fixed order, no image read yet. Small and picklable.

    Attributes:
        location: as given to `open_pairs`.
        units: what to read, each with at most `unit_rows` rows.
    """

    location: str
    units: tuple[PairUnit, ...]

    @property
    def rows(self) -> int:
        """Pairs in all units together."""
        return sum(unit.rows for unit in self.units)


def open_pairs(location: str, *, captions_required: bool = True, unit_rows: int = UNIT_ROWS) -> PairSource:
    """Finds the files of a data set and cuts them into units.

    Args:
        location: a file, a glob of files or a folder; a path or an fsspec URL (`file://`, `s3://`, `hf://`, ...), with
            options behind a "#" (see `locations`). Files are Parquet (`.parquet`), WebDataset (`.tar`), Hugging Face
            `save_to_disk` (`.arrow`), lines beside images (`metadata.jsonl`, `captions.jsonl`, or `.tsv` with title,
            filepath, image_id), COCO captions or Karpathy's splits (`.json`); a folder may also hold image files with
            their captions in files beside them. In files order is by name; names that begin with "." or "_" are left
            out.
        captions_required: whether a source without captions is refused; otherwise its rows get empty lists.
        unit_rows: most rows of a unit.

    Raises:
        DataError: nothing is there, a file cannot be read or lacks the columns, or there is not one row.
        StorageError: it is a URL, and its filesystem cannot be reached.
    """
    if unit_rows < 1:
        raise DataError(f"unit_rows must be at least 1, not {unit_rows}")
    where = Location.parse(str(location))
    with reaching(where.url):
        filesystem, files = find_files(where)

    def units_of(file: str) -> list[PairUnit]:
        find_units = _UNITS_OF.get(PurePosixPath(file).suffix.lower(), parquet_units)
        if find_units is parquet_units and filesystem.isdir(file):
            find_units = captioned_files_units
        with reaching(where.url):
            return list(find_units(filesystem, file, where, captions_required, unit_rows))

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        units = tuple(unit for found in pool.map(units_of, files) for unit in found)
    if not units:
        raise DataError(f"{location}: {len(files)} file(s) there, but not one row in them")
    return PairSource(str(location), units)


def read_unit(unit: PairUnit, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """Reads the rows of one unit in order.

    Args:
        unit: of a `PairSource`; its files must be reachable from here.
        batch_rows: most rows of a table, and so of images in memory.

    Yields:
        Tables with image_id string, image binary (null where the image is missing) and captions list<string> (maybe
        null or empty), then the source's other columns as they are.

    Raises:
        DataError: a file has gone, changed or is damaged.
        StorageError: it is behind a URL, and its filesystem cannot be reached.
    """
    with reaching(unit.file):
        yield from _READERS[type(unit)](unit, batch_rows)
