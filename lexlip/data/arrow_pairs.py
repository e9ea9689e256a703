"""Pairs in Arrow files as Hugging Face's `Dataset.save_to_disk` leaves them: one IPC stream a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
import pyarrow as pa

from lexlip.data.locations import Location
from lexlip.data.pair_columns import PairColumns, cut_batches
from lexlip.errors import DataError
from lexlip.storage import open_filesystem


@dataclass(frozen=True)
class ArrowUnit:
    """Rows `first_row`, ... of one file.

    Attributes:
        file: path or URL, with its protocol unless local.
        first_row: the first of them.
        rows: how many.
        columns: where the parts of a Pair are.
    """

    file: str
    first_row: int
    rows: int
    columns: PairColumns


def arrow_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[ArrowUnit]:
    """The units of one file; its record batches are counted, and of a local file not even read.

    Raises:
        DataError: the file is no Arrow stream or lacks the columns.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options(("image", "captions", "image_id"), name)
    with _open(filesystem, path, name) as stream:
        columns = PairColumns.choose(stream.schema, location, captions_required, name)
        rows = sum(batch.num_rows for batch in _batches(stream, name))
    for first_row in range(0, rows, unit_rows):
        yield ArrowUnit(name, first_row, min(unit_rows, rows - first_row), columns)


def read_arrow(unit: ArrowUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; the batches before the unit are passed over."""
    filesystem, path = open_filesystem(unit.file)
    with _open(filesystem, path, unit.file) as stream:
        position = 0
        for batch in _batches(stream, unit.file):
            first_row = max(position, unit.first_row)
            for part in cut_batches(batch, position, unit.first_row, unit.rows, batch_rows):
                yield unit.columns.as_pairs(part, unit.file, first_row)
                first_row += part.num_rows
            position += batch.num_rows
            if position >= unit.first_row + unit.rows:
                return
    raise DataError(f"{unit.file}: ended early; the file has changed since it was opened")


@contextmanager
def _open(filesystem: fsspec.AbstractFileSystem, path: str, name: str) -> Iterator[pa.RecordBatchStreamReader]:
    local = "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,))
    try:
        source = pa.memory_map(path) if local else filesystem.open(path, "rb")
    except OSError as error:
        raise DataError(f"{name}: cannot be opened ({error})") from error
    with source:
        try:
            stream = pa.ipc.open_stream(source)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{name}: not an Arrow stream ({error}); save_to_disk of `datasets` writes one") from error
        with stream:
            yield stream


def _batches(stream: pa.RecordBatchStreamReader, name: str) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{name}: cannot be read to its end ({error})") from error
        yield batch
