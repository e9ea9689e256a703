"""Vectors of other sparse encoders (SPLADE and its relatives) as LexiconVector Parquet for our index.

Lines of JSON, plain or gzipped, with an id (`id`, `_id` or `docid`) and a `vector` of term weights, as Anserini and
Pyserini write them; terms are written as words of the vocabulary or, when that is said, as ids. `contents`, `content`
or `text` become the captions.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.tables import LEXICON_VECTOR_SCHEMA
from lexlip.vocabulary import Vocabulary

TermForm = Literal["words", "ids"]
ID_KEYS = ("id", "_id", "docid")
TEXT_KEYS = ("contents", "content", "text")
ROWS_AT_ONCE = 4096
IMPORTED_SCHEMA = LEXICON_VECTOR_SCHEMA.append(pa.field("captions", pa.list_(pa.string())))


def import_vectors(lines: str, out: Path, vocabulary: Vocabulary, *, terms_are: TermForm = "words") -> int:
    """Converts a file of lines to one Parquet file, which appears when it is complete.

    Args:
        lines: path or URL; `.gz` is unpacked on the way.
        out: the Parquet file.
        vocabulary: whose terms the vectors weigh.
        terms_are: how terms are written. It cannot be guessed, since many vocabularies have numbers among their words.

    Returns:
        the number of vectors.

    Raises:
        DataError: a line is no such object, or a term unknown, or a weight negative or not finite; names the line.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp-{os.getpid()}")
    count = 0
    try:
        with pq.ParquetWriter(temporary, IMPORTED_SCHEMA, compression="zstd") as writer:
            for rows in _batches(_rows(lines, vocabulary, terms_are)):
                writer.write_table(pa.Table.from_pylist(rows, schema=IMPORTED_SCHEMA))
                count += len(rows)
        if not count:
            raise DataError(f"{lines}: not one vector in it")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _rows(lines: str, vocabulary: Vocabulary, terms_are: TermForm) -> Iterator[dict[str, Any]]:
    try:
        opened = fsspec.open(lines, "rb", compression="infer").open()
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"{lines}: cannot be opened ({error})") from error
    with opened as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _row(line, f"{lines}, line {number}", vocabulary, terms_are)


def _row(line: bytes, where: str, vocabulary: Vocabulary, terms_are: TermForm) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: no JSON ({error})") from error
    vector = record.get("vector") if isinstance(record, dict) else None
    if not isinstance(vector, dict):
        raise DataError(f"{where}: no object with a 'vector' of term weights")
    identifier = next((record[key] for key in ID_KEYS if record.get(key) is not None), None)
    if identifier is None:
        raise DataError(f"{where}: no {', '.join(ID_KEYS[:-1])} or {ID_KEYS[-1]}")
    weights: dict[int, float] = {}
    for term, weight in vector.items():
        if not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise DataError(f"{where}: the weight of {term!r} is {weight!r}; it must be a number of 0 or more")
        if weight > 0:  # a weight of zero is a term that is not there
            weights[_term_id(term, where, vocabulary, terms_are)] = float(weight)
    text = next((record[key] for key in TEXT_KEYS if isinstance(record.get(key), str)), "")
    terms = sorted(weights)
    return {
        "id": str(identifier),
        "terms": terms,
        "weights": [weights[term] for term in terms],
        "captions": [text] if text.strip() else [],
    }


def _term_id(term: str, where: str, vocabulary: Vocabulary, terms_are: TermForm) -> int:
    identifier = vocabulary.id_of(term)
    if terms_are == "ids":
        identifier = int(term) if term.isascii() and term.isdigit() and int(term) < len(vocabulary) else None
    if identifier is None:
        raise DataError(
            f"{where}: {term!r} is not among the {terms_are} of the vocabulary of {len(vocabulary):,} terms; give the "
            "vocabulary that made the vectors, and say whether terms are written as words or ids"
        )
    return identifier


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
