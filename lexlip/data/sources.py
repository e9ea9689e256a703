"""Where pairs come from: Parquet files and image folders, on disk or behind an fsspec URL, cut into units of work.

`open_pairs` looks at names, footers and metadata lines only; images are read by `read_unit`, wherever that runs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec
import pyarrow as pa

from lexlip.data.image_folder import METADATA_FILES, ImageFolderUnit, image_folder_units, read_image_folder
from lexlip.data.parquet_pairs import ParquetUnit, parquet_units, read_parquet
from lexlip.errors import DataError

PairUnit = ParquetUnit | ImageFolderUnit

UNIT_ROWS = 256  # a few seconds of decoding and augmenting: long beside a task's overhead, short to lose
BATCH_ROWS = 64  # rows in memory at once while reading; 64 photos of a camera are about 300 MB
FILES_AT_ONCE = 16  # footers fetched in parallel; the wait is for the network, not the processor


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
        location: a Parquet file, a glob of them, a folder with Parquet files (at any depth), or a folder of images with
            `metadata.jsonl` or `captions.jsonl`; a path or an fsspec URL (`file://`, `s3://`, `memory://`, ...).
            In files order is by name; names that begin with "." or "_" are left out.
        captions_required: whether a source without captions is refused; otherwise its rows get empty lists.
        unit_rows: most rows of a unit.

    Raises:
        DataError: nothing is there, a file cannot be read or lacks the columns, or there is not one row.
    """
    if unit_rows < 1:
        raise DataError(f"unit_rows must be at least 1, not {unit_rows}")
    location = str(location)
    filesystem, files = _find_files(location)

    def units_of(file: str) -> list[PairUnit]:
        if PurePosixPath(file).suffix == ".jsonl":
            return list(image_folder_units(filesystem, file, captions_required, unit_rows))
        return list(parquet_units(filesystem, file, captions_required, unit_rows))

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        units = tuple(unit for found in pool.map(units_of, files) for unit in found)
    if not units:
        raise DataError(f"{location}: {len(files)} file(s) there, but not one row in them")
    return PairSource(location, units)


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
    """
    if isinstance(unit, ImageFolderUnit):
        return read_image_folder(unit, batch_rows)
    return read_parquet(unit, batch_rows)


def _find_files(location: str) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    """The filesystem and the Parquet or metadata files that a location stands for, sorted."""
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise DataError(f"{location}: cannot be opened ({error})") from error
    if filesystem.isdir(path):
        for name in METADATA_FILES:
            if filesystem.isfile(f"{path}/{name}"):
                return filesystem, [f"{path}/{name}"]
        files = [file for file in filesystem.find(path) if file.endswith(".parquet") and _visible(file, path)]
        if not files:
            raise DataError(f"{location}: no .parquet file, {' or '.join(METADATA_FILES)} in this folder")
    elif filesystem.isfile(path):
        files = [path]
    else:
        files = [file for file in filesystem.glob(path) if filesystem.isfile(file)] if _is_glob(path) else []
        if not files:
            kind = "no file matches this pattern" if _is_glob(path) else "no such file or folder"
            raise DataError(f"{location}: {kind}")
    return filesystem, sorted(files)


def _is_glob(path: str) -> bool:
    return any(character in path for character in "*?[")


def _visible(file: str, folder: str) -> bool:
    inner = file[len(folder) :].strip("/").split("/")
    return not any(part.startswith((".", "_")) for part in inner)
