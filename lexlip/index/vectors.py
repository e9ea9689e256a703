"""Reading LexiconVector Parquet files, checked row by row, in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.storage import Location, arrow_source, locate, reaching
from lexlip.tables import LEXICON_VECTOR_SCHEMA, require_columns

ROWS_AT_ONCE = 2048  # small, because rows may carry a thumbnail


@dataclass(frozen=True)
class VectorRows:
    """Some consecutive rows of a vector file.

    Attributes:
        starts: [rows + 1] int64, where each row begins in `terms` and `weights`.
        terms: [postings] int32, strictly ascending inside a row.
        weights: [postings] float32, positive and finite.
        fields: the stored fields: id and all further columns.
    """

    starts: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    fields: pa.RecordBatch

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_vectors(files: Sequence[str | Location], vocabulary_terms: int) -> Iterator[VectorRows]:
    """Reads vector files in order.

    Raises:
        DataError: a file is missing, unreadable or lacks a column, or a row is unsuitable; names file and row.
        StorageError: a file is behind a URL that cannot be reached.
    """
    for path in files:
        location = locate(path)
        if not location.is_file():
            raise DataError(f"{path}: no such file of lexicon vectors.")
        try:
            with reaching(location), pq.ParquetFile(arrow_source(location)) as file:
                require_columns(file.schema_arrow, LEXICON_VECTOR_SCHEMA, str(path))
                row = 0
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                    yield _checked(batch, str(path), row, vocabulary_terms)
                    row += batch.num_rows
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: not readable as Parquet ({error}).") from error


def stored_schema(path: str | Location) -> pa.Schema:
    """The schema of the stored fields that `read_vectors` makes of a file."""
    try:
        with reaching(path):
            schema = pq.read_schema(arrow_source(locate(path)))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not readable as Parquet ({error}).") from error
    require_columns(schema, LEXICON_VECTOR_SCHEMA, str(path))
    fields = [pa.field("id", pa.string())]
    fields += [
        pa.field(field.name, _plain(field.type)) for field in schema if field.name not in LEXICON_VECTOR_SCHEMA.names
    ]
    return pa.schema(fields)


def _plain(field_type: pa.DataType) -> pa.DataType:
    """Dictionaries become plain values, so that a stored row stands alone."""
    return field_type.value_type if pa.types.is_dictionary(field_type) else field_type


def _checked(batch: pa.RecordBatch, path: str, first_row: int, vocabulary_terms: int) -> VectorRows:
    columns = {}
    for field in LEXICON_VECTOR_SCHEMA:
        try:
            column = batch.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"{path}: column {field.name} is not {field.type} ({error}).") from error
        nulls = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        if nulls.size:
            raise DataError(f"{path}, row {first_row + nulls[0]}: {field.name} is null.")
        columns[field.name] = column
    starts = columns["terms"].offsets.to_numpy().astype(np.int64)
    weight_starts = columns["weights"].offsets.to_numpy().astype(np.int64)
    unequal = np.flatnonzero(np.diff(starts) != np.diff(weight_starts))
    if unequal.size:
        raise DataError(f"{path}, row {first_row + unequal[0]}: terms and weights differ in number.")
    terms = columns["terms"].values[starts[0] : starts[-1]].to_numpy(zero_copy_only=False)
    weights = columns["weights"].values[weight_starts[0] : weight_starts[-1]].to_numpy(zero_copy_only=False)
    starts = starts - starts[0]

    def refuse(bad: np.ndarray, complaint: str) -> None:
        """Raises for the first posting marked in `bad`."""
        if bad.any():
            posting = int(np.argmax(bad))
            row = int(np.searchsorted(starts, posting, side="right")) - 1
            name = columns["id"][row].as_py()
            raise DataError(
                f"{path}, row {first_row + row} (id {name!r}): {complaint} (term {terms[posting]}, weight "
                f"{weights[posting]})."
            )

    refuse((terms < 0) | (terms >= vocabulary_terms), f"a term is outside the vocabulary of {vocabulary_terms} terms")
    refuse(~(np.isfinite(weights) & (weights > 0)), "weights must be positive and finite")
    falling = np.zeros(terms.size, bool)
    falling[1:] = np.diff(terms) <= 0
    inner_starts = starts[1:-1]
    falling[inner_starts[inner_starts < terms.size]] = False
    refuse(falling, "terms must be ascending without repetition")
    others = [field for field in batch.schema if field.name not in LEXICON_VECTOR_SCHEMA.names]
    fields = {
        "id": columns["id"],
        **{field.name: batch.column(field.name).cast(_plain(field.type)) for field in others},
    }
    return VectorRows(starts, terms, weights, pa.RecordBatch.from_pydict(fields))
