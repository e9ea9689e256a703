"""Qdrant: `collection.json` creates a collection with one sparse vector, `points-00000.json`, ... fill it.

    curl -X PUT $QDRANT/collections/photos -H 'Content-Type: application/json' -d @collection.json
    curl -X PUT $QDRANT/collections/photos/points -H 'Content-Type: application/json' -d @points-00000.json

Qdrant wants UUIDs: a point's is the version 5 UUID of our id, which itself is in the payload.
"""

import uuid
from itertools import islice
from pathlib import Path
from typing import Any

from lexlip.exchange.output_files import empty_folder, stored_for_json, write_record
from lexlip.index.contents import IndexedDocument, read_contents
from lexlip.tables import LexiconVector

VECTOR_NAME = "lexicon"
POINTS_A_FILE = 1000  # a few hundred kilobytes, far below Qdrant's limit of 32 MB a request
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2302.02908")


def export_qdrant(index: Path, out: Path) -> int:
    """Writes the files into an empty or new folder; returns the number of points."""
    empty_folder(out)
    points = (_point(document) for contents in read_contents(index) for document in contents.documents())
    count = files = 0
    while batch := list(islice(points, POINTS_A_FILE)):
        write_record(out / f"points-{files:05d}.json", {"points": batch})
        count, files = count + len(batch), files + 1
    write_record(out / "collection.json", {"sparse_vectors": {VECTOR_NAME: {}}})
    return count


def qdrant_query(vector: LexiconVector, k: int = 10) -> dict[str, Any]:
    """The body of a request to `/collections/<name>/points/query`."""
    sparse = {"indices": vector.terms.tolist(), "values": vector.weights.tolist()}
    return {"query": sparse, "using": VECTOR_NAME, "limit": k, "with_payload": True}


def point_id(document_id: str) -> str:
    """The UUID of a document's point."""
    return str(uuid.uuid5(NAMESPACE, document_id))


def _point(document: IndexedDocument) -> dict[str, Any]:
    sparse = {"indices": document.terms.tolist(), "values": document.impacts.tolist()}
    payload = {"id": document.id, **stored_for_json(document.stored)}
    return {"id": point_id(document.id), "vector": {VECTOR_NAME: sparse}, "payload": payload}
