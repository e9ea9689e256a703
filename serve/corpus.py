"""The gateway's own view of the index: stored fields, thumbnails, ids and explanations, read from the mapped files.

Shards rank; what belongs to the few hits that are left is read here, without another hop.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexlip.errors import IndexFormatError
from lexlip.index import Index
from lexlip.tables import LexiconVector
from serve.encoders import ModelFacts

THUMBNAIL_FIELD = "thumbnail"
MEDIA_TYPES = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"RIFF", "image/webp"))


class Corpus:
    """One generation of the index, all shards, read-only."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.number: int = index.manifest.generation
        self.state: str = index.manifest.state
        self.stored_fields = index.stored_fields
        self.captions = index.captions

    @classmethod
    def open(cls, folder: str | Path, model: ModelFacts) -> Corpus:
        """Opens the published state.

        Raises:
            IndexFormatError: it cannot be opened, or its vectors are another model's.
        """
        index = Index.open(folder)
        require_same_model(index, model, str(folder))
        return cls(index)

    def position_of(self, identifier: str) -> int | None:
        """Where the document with this id is; None when the index has none."""
        return self.index.position_of(identifier)

    def thumbnail(self, position: int) -> tuple[bytes, str] | None:
        """The stored picture of a document and its media type; None when none is stored or it is no known picture."""
        data = self.index.stored([position])[0].get(THUMBNAIL_FIELD)
        if not isinstance(data, bytes):
            return None
        return next(((data, kind) for start, kind in MEDIA_TYPES if data.startswith(start)), None)

    def hits(self, positions: np.ndarray) -> list[tuple[str, dict[str, Any]]]:
        """Id and presentable stored fields of each document."""
        rows = self.index.stored([int(position) for position in positions])
        return [(str(row["id"]), presentable(row)) for row in rows]

    def contributions(self, position: int, terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[T] float32: each query term's part of a document's score."""
        return self.index.contributions(position, terms, weights)

    def vector(self, position: int, most_terms: int | None = None) -> LexiconVector:
        """A document's own vector as indexed, cut to its heaviest terms when asked."""
        vector = self.index.vector(position)
        return vector if most_terms is None else vector.top(most_terms)


def require_same_model(index: Index, model: ModelFacts, folder: str) -> None:
    """Raises `IndexFormatError` naming both sides when index and model do not belong together."""
    manifest = index.manifest
    for what, of_index, of_model in (
        ("vocabulary", manifest.vocabulary_fingerprint, model.vocabulary_fingerprint),
        ("model", manifest.model_fingerprint, model.model_fingerprint),
    ):
        if of_index != of_model:
            raise IndexFormatError(
                f"{folder}: generation {manifest.generation} was made with {what} {of_index}, but the served model has "
                f"{what} {of_model}; serve the model that encoded it, or encode the corpus again (pipelines/encode.py)."
            )


def presentable(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row as JSON can say it: without id and binary fields, dates as ISO text, what is no number as null."""
    return {name: _presentable(value) for name, value in row.items() if name != "id" and not isinstance(value, bytes)}


def _presentable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time | datetime.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return presentable(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_presentable(item) for item in value if not isinstance(item, bytes)]
    return value if isinstance(value, str | int | bool) or value is None else str(value)
