"""Pairs in Parquet files: ours, those of the Hugging Face Hub (`hf://`), and the ones img2dataset writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.data.locations import Location
from lexlip.data.pair_columns import PairColumns, cut_batches
from lexlip.errors import DataError
from lexlip.storage import open_filesystem

READ_BUFFER = 2**20  # bytes fetched at a time: a row group streams through memory instead of being held whole


@dataclass(frozen=True)
class ParquetUnit:
    """Rows `first_row`, ... of one row group of one file.

    Attributes:
        file: path or URL, with its protocol unless local.
        row_group: which one, from 0.
        first_row: within the row group.
        rows: how many.
        columns: where the parts of a Pair are.
    """

    file: str
    row_group: int
    first_row: int
    rows: int
    columns: PairColumns


def parquet_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[ParquetUnit]:
    """The units of one file, from its footer.

    Raises:
        DataError: the file is no Parquet file or lacks the columns.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options(("image", "captions", "image_id"), name)
    with _open(filesystem, path, name) as parquet:
        columns = PairColumns.choose(parquet.schema_arrow, location, captions_required, name)
        groups = [parquet.metadata.row_group(group).num_rows for group in range(parquet.metadata.num_row_groups)]
    for group, rows in enumerate(groups):
        for first_row in range(0, rows, unit_rows):
            yield ParquetUnit(name, group, first_row, min(unit_rows, rows - first_row), columns)


def read_parquet(unit: ParquetUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; what lies before the unit in its row group streams past."""
    filesystem, path = open_filesystem(unit.file)
    with _open(filesystem, path, unit.file) as parquet:
        position, end = 0, unit.first_row + unit.rows
        before = sum(parquet.metadata.row_group(group).num_rows for group in range(unit.row_group))
        try:
            for batch in parquet.iter_batches(batch_rows, row_groups=[unit.row_group], use_threads=False):
                first_row = before + max(position, unit.first_row)
                for part in cut_batches(batch, position, unit.first_row, unit.rows, batch_rows):
                    yield unit.columns.as_pairs(part, unit.file, first_row)
                    first_row += part.num_rows
                position += batch.num_rows
                if position >= end:
                    return
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{unit.file}: row group {unit.row_group} cannot be read ({error})") from error
    raise DataError(f"{unit.file}: row group {unit.row_group} ended early; the file has changed since it was opened")


def _open(filesystem: fsspec.AbstractFileSystem, path: str, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, filesystem=filesystem, buffer_size=READ_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: not a readable Parquet file ({error})") from error
