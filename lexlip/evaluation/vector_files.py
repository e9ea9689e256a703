"""Reading encoded vectors back from Parquet: lexicon vectors and dense vectors, with the columns beside them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.tables import DENSE_VECTOR_SCHEMA, LEXICON_VECTOR_SCHEMA, LexiconVector, require_columns


def read_lexicon_vectors(files: Sequence[Path]) -> tuple[list[str], list[LexiconVector]]:
    """Ids and vectors of LexiconVector files, in the order of files and rows.

    Raises:
        DataError: a file lacks the columns.
    """
    ids: list[str] = []
    vectors: list[LexiconVector] = []
    for file in files:
        table = _read(file, LEXICON_VECTOR_SCHEMA)
        ids += table["id"].to_pylist()
        for chunk_terms, chunk_weights in zip(table["terms"].chunks, table["weights"].chunks, strict=True):
            starts = chunk_terms.offsets.to_numpy()
            terms, weights = chunk_terms.values.to_numpy(), chunk_weights.values.to_numpy()
            shift = chunk_weights.offsets.to_numpy() - starts
            vectors += [
                LexiconVector(terms[start:end], weights[start + move : end + move])
                for start, end, move in zip(starts[:-1], starts[1:], shift, strict=False)
            ]
    return ids, vectors


def read_dense_vectors(files: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """Ids and [N, E] float32 of DenseVector files, in the order of files and rows.

    Raises:
        DataError: a file lacks the columns, or its vectors differ in length.
    """
    ids: list[str] = []
    blocks: list[np.ndarray] = []
    for file in files:
        table = _read(file, DENSE_VECTOR_SCHEMA)
        ids += table["id"].to_pylist()
        for chunk in table["vector"].chunks:
            lengths = np.diff(chunk.offsets.to_numpy())
            if len(lengths) and np.any(lengths != lengths[0]):
                raise DataError(f"{file}: vectors of different lengths ({lengths.min()} to {lengths.max()})")
            if len(lengths):
                blocks.append(chunk.flatten().to_numpy().reshape(len(lengths), -1))
    if not blocks:
        raise DataError(f"no vectors in {len(files)} file(s)")
    if len({block.shape[1] for block in blocks}) > 1:
        raise DataError(f"{files[0]} and others: vectors of different lengths from file to file")
    return ids, np.ascontiguousarray(np.concatenate(blocks), np.float32)


def _read(file: Path, schema: pa.Schema) -> pa.Table:
    stored = pq.read_schema(file)
    require_columns(stored, schema, str(file))
    return pq.read_table(file, columns=schema.names).cast(schema)
