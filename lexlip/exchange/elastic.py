"""Bulk files for Elasticsearch (`sparse_vector`) and OpenSearch (`rank_features`), and queries for them.

    {"index": {"_index": "photos", "_id": "photo-1"}}
    {"captions": ["a dog runs"], "lexicon": {"3899": 212, "2448": 90}}

Features are named by term ids, since these engines forbid dots in names, and "." is a term. Weights are the index's
whole impacts: both engines keep nine significant bits of a weight, which hold 1 to 255 without loss.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lexlip.errors import DataError
from lexlip.exchange.output_files import appearing_whole, empty_folder, stored_for_json, write_record
from lexlip.index.contents import IndexedDocument, read_contents
from lexlip.tables import LexiconVector

VECTOR_FIELD = "lexicon"
FIELD_TYPES = {"elasticsearch": "sparse_vector", "opensearch": "rank_features"}
BULK_BYTES = 50_000_000  # of one file: both engines refuse requests above 100 MB


@dataclass(frozen=True)
class BulkExport:
    """What an export made.

    Attributes:
        documents: how many.
        files: bulk files, in the order to be sent.
    """

    documents: int
    files: list[Path]


def export_bulk(index: Path, out: Path, engine: Literal["elasticsearch", "opensearch"], name: str) -> BulkExport:
    """Writes `mapping.json`, the body for creating the index, and `bulk-00000.ndjson`, ... for its `_bulk` endpoint.

    Args:
        index: our index folder.
        out: an empty or new folder.
        engine: which of the two.
        name: of the index there.

    Raises:
        DataError: the folder is not empty, or a stored field is called like the vector's.
    """
    empty_folder(out)
    documents = (document for contents in read_contents(index) for document in contents.documents())
    files: list[Path] = []
    count = 0
    for part in _files_full(documents, name):
        files.append(out / f"bulk-{len(files):05d}.ndjson")
        with appearing_whole(files[-1]) as file:
            for lines in part:
                file.write(lines)
                count += 1
    write_record(out / "mapping.json", {"mappings": {"properties": {VECTOR_FIELD: {"type": FIELD_TYPES[engine]}}}})
    return BulkExport(count, files)


def elasticsearch_query(vector: LexiconVector, k: int = 10) -> dict[str, Any]:
    """The body of a `_search` request to Elasticsearch; prune nothing, as the vector is short already."""
    query = {"field": VECTOR_FIELD, "query_vector": _features(vector), "prune": False}
    return {"size": k, "query": {"sparse_vector": query}, "_source": {"excludes": [VECTOR_FIELD]}}


def opensearch_query(vector: LexiconVector, k: int = 10) -> dict[str, Any]:
    """The body of a `_search` request to OpenSearch."""
    query = {VECTOR_FIELD: {"query_tokens": _features(vector)}}
    return {"size": k, "query": {"neural_sparse": query}, "_source": {"excludes": [VECTOR_FIELD]}}


def _features(vector: LexiconVector) -> dict[str, float]:
    return {str(term): weight for term, weight in zip(vector.terms.tolist(), vector.weights.tolist(), strict=True)}


def _files_full(documents: Iterator[IndexedDocument], name: str) -> Iterator[Iterator[bytes]]:
    """The documents' lines, in parts that each fill a file."""
    waiting = next(documents, None)

    def part() -> Iterator[bytes]:
        nonlocal waiting
        written = 0
        while waiting is not None and written < BULK_BYTES:
            lines = _lines(waiting, name)
            written += len(lines)
            waiting = next(documents, None)
            yield lines

    while waiting is not None:
        yield part()


def _lines(document: IndexedDocument, name: str) -> bytes:
    fields = stored_for_json(document.stored)
    if VECTOR_FIELD in fields:
        raise DataError(f"the stored field {VECTOR_FIELD!r} has the name that the vector gets; rename it")
    pairs = zip(document.terms.tolist(), document.impacts.tolist(), strict=True)
    fields[VECTOR_FIELD] = {str(term): impact for term, impact in pairs}
    action = {"index": {"_index": name, "_id": document.id}}
    return b"".join(
        json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"
        for record in (action, fields)
    )
