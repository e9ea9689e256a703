"""Pairs in Parquet files: image as bytes or as a struct {bytes, path}, captions as a list or one string a row."""

from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA, require_columns

READ_BUFFER = 2**20  # bytes fetched at a time: a row group streams through memory instead of being held whole


@dataclass(frozen=True)
class ParquetUnit:
    """Rows `first_row`, ... of one row group of one file.

    Attributes:
        file: path or URL, with its protocol unless local.
        row_group: which one, from 0.
        first_row: within the row group.
        rows: how many.
    """

    file: str
    row_group: int
    first_row: int
    rows: int


def parquet_units(
    filesystem: fsspec.AbstractFileSystem, path: str, captions_required: bool, unit_rows: int
) -> Iterator[ParquetUnit]:
    """The units of one file, from its footer.

    Raises:
        DataError: the file is no Parquet file or lacks the columns.
    """
    name = filesystem.unstrip_protocol(path)
    with _open(filesystem, path, name) as parquet:
        _check_columns(parquet.schema_arrow, name, captions_required)
        groups = [parquet.metadata.row_group(group).num_rows for group in range(parquet.metadata.num_row_groups)]
    for group, rows in enumerate(groups):
        for first_row in range(0, rows, unit_rows):
            yield ParquetUnit(name, group, first_row, min(unit_rows, rows - first_row))


def read_parquet(unit: ParquetUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; what lies before the unit in its row group streams past."""
    filesystem, path = fsspec.core.url_to_fs(unit.file)
    with _open(filesystem, path, unit.file) as parquet:
        position, end = 0, unit.first_row + unit.rows
        try:
            for batch in parquet.iter_batches(batch_rows, row_groups=[unit.row_group], use_threads=False):
                first, last = max(unit.first_row - position, 0), min(end - position, batch.num_rows)
                if first < last:
                    yield _as_pairs(pa.Table.from_batches([batch.slice(first, last - first)]), unit.file)
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


def _check_columns(schema: pa.Schema, name: str, captions_required: bool) -> None:
    wanted = PAIR_SCHEMA if captions_required else PAIR_SCHEMA.remove(PAIR_SCHEMA.get_field_index("captions"))
    require_columns(schema, wanted, name)
    image = schema.field("image").type
    if not (_is_binary(image) or (pa.types.is_struct(image) and _is_binary(_member(image, "bytes")))):
        raise DataError(f"{name}: column image must hold bytes or a struct {{bytes, path}}, not {image}")
    if "captions" in schema.names:
        captions = schema.field("captions").type
        text = captions.value_type if pa.types.is_list(captions) or pa.types.is_large_list(captions) else captions
        if not (pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_null(text)):
            raise DataError(f"{name}: column captions must hold lists of strings, not {captions}")


def _is_binary(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _member(struct: pa.StructType, name: str) -> pa.DataType | None:
    position = struct.get_field_index(name)
    return struct.field(position).type if position >= 0 else None


def _as_pairs(table: pa.Table, name: str) -> pa.Table:
    """The columns of a Pair first and in their types, then the others as they are."""
    image = table["image"]
    if pa.types.is_struct(image.type):
        image = pc.struct_field(image, "bytes")
    if "captions" not in table.schema.names:
        captions = pa.array([[]] * table.num_rows, pa.list_(pa.string()))
    elif pa.types.is_list(table["captions"].type) or pa.types.is_large_list(table["captions"].type):
        captions = table["captions"]
    else:
        captions = pa.array([[text] for text in table["captions"].to_pylist()], pa.list_(pa.string()))
    columns = {"image_id": table["image_id"], "image": image, "captions": captions}
    try:
        columns = {field.name: columns[field.name].cast(field.type) for field in PAIR_SCHEMA}
    except pa.ArrowException as error:
        raise DataError(f"{name}: the columns do not hold pairs ({error})") from error
    columns.update({other: table[other] for other in table.schema.names if other not in columns})
    return pa.table(columns)
