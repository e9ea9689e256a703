"""An index on disk, opened for searching."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lexlip.errors import IndexFormatError, QueryError
from lexlip.index.manifest import Manifest, read_manifest
from lexlip.index.query import checked_query
from lexlip.index.shard import Shard
from lexlip.tables import LexiconVector


@dataclass(frozen=True)
class Hits:
    """The answer to one query, best first.

    Attributes:
        positions: [n] int64, n <= k; positions count through the opened shards in their order, and inside a shard in the order of the
            rows it was built from.
        scores: [n] float32, all above 0, falling; equal scores are in ascending order of positions.
    """

    positions: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class DocumentFilter:
    """Which documents a search may return, prepared by `Index.document_filter`.

    Attributes:
        allowed: one array a shard.
    """

    allowed: tuple[np.ndarray, ...]


class Index:
    """A read-only view of one published state (generation) of an index; later changes do not show until it is opened again.

    Attributes:
        manifest: what `index.json` says: fingerprints, settings, generation and the shards.
        documents: number of positions in the opened shards, deleted documents included.
        bytes: size of their posting files, id maps included, stored fields not.
    """

    def __init__(self, manifest: Manifest, shards: Sequence[Shard]) -> None:
        """Use `Index.open`."""
        self.manifest = manifest
        self._shards = tuple(shards)
        self._first = np.concatenate([[0], np.cumsum([shard.documents for shard in shards])]).astype(np.int64)
        self.documents = int(self._first[-1])
        self.bytes = sum(shard.entry.postings.bytes for shard in shards)
        self._impact_bits = max((shard.impact_bits for shard in shards), default=8)

    @classmethod
    def open(cls, path: str | Path, *, shards: Sequence[int] | None = None) -> "Index":
        """Opens all shards of the index in `path`, or those with the given numbers (`ShardEntry.shard`).

        Raises:
            IndexFormatError: no index there, no such shard, or a file is missing, truncated or foreign.
        """
        manifest = read_manifest(path)
        chosen = manifest.shards
        if shards is not None:
            missing = set(shards) - {entry.shard for entry in chosen}
            if missing:
                raise IndexFormatError(
                    f"{path}: no shard {min(missing)}; it has {', '.join(str(entry.shard) for entry in chosen)}."
                )
            chosen = tuple(entry for entry in chosen if entry.shard in set(shards))
        return cls(manifest, [Shard(Path(path), entry) for entry in chosen])

    def search(
        self, terms: np.ndarray, weights: np.ndarray, k: int = 10, *, allowed: np.ndarray | DocumentFilter | None = None
    ) -> Hits:
        """The k best documents by sum over shared terms of query weight x document weight; exact, ties by lower position.

        Exact is meant over the quantised weights, with query weights rounded to 2^-20 of their sum or finer. A document whose score is 0 or
        less is no hit.

        Args:
            terms: [n] distinct term ids, 1 to 512, in any order.
            weights: [n] finite and not 0; a negative weight counts against the documents that have the term.
            k: 1 to 1,000.
            allowed: [documents] bool, or a `DocumentFilter` prepared for many searches; other documents are left out before the top k.

        Raises:
            QueryError: unsuitable terms, weights, k or filter.
        """
        query = checked_query(terms, weights, k, self.manifest.vocabulary_terms, self._impact_bits)
        document_filter = self._prepared(allowed)
        found_positions, found_scores = [], []
        for number, shard in enumerate(self._shards):
            positions, scores = shard.search(
                query, k, None if document_filter is None else document_filter.allowed[number]
            )
            found_positions.append(positions + self._first[number])
            found_scores.append(scores * (query.unit * shard.step))
        if not found_positions:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        positions, scores = np.concatenate(found_positions), np.concatenate(found_scores)
        order = np.lexsort((positions, -scores))[:k]
        return Hits(positions[order], scores[order].astype(np.float32))

    def search_batch(
        self,
        queries: Sequence[LexiconVector],
        k: int = 10,
        *,
        threads: int = 1,
        allowed: np.ndarray | DocumentFilter | None = None,
    ) -> list[Hits]:
        """`search` for many queries in one call; with several threads they run side by side, without the interpreter lock."""
        document_filter = self._prepared(allowed)

        def one(query: LexiconVector) -> Hits:
            return self.search(query.terms, query.weights, k, allowed=document_filter)

        if threads == 1:
            return [one(query) for query in queries]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, queries))

    def document_filter(self, allowed: np.ndarray) -> DocumentFilter:
        """Prepares a filter for many searches.

        Args:
            allowed: [documents] bool.

        Raises:
            QueryError: another shape or type.
        """
        allowed = np.asarray(allowed)
        if allowed.dtype != bool or allowed.shape != (self.documents,):
            raise QueryError(
                f"a filter is {self.documents} bools, one a document; this one is {allowed.dtype} {allowed.shape}."
            )
        return DocumentFilter(tuple(np.split(allowed, self._first[1:-1])))

    def _prepared(self, allowed: np.ndarray | DocumentFilter | None) -> DocumentFilter | None:
        return allowed if allowed is None or isinstance(allowed, DocumentFilter) else self.document_filter(allowed)

    def _locate(self, position: int) -> tuple[Shard, int]:
        if not 0 <= position < self.documents:
            raise QueryError(f"position {position} is outside the index of {self.documents} documents.")
        number = int(np.searchsorted(self._first, position, side="right")) - 1
        return self._shards[number], int(position - self._first[number])

    def contributions(self, position: int, terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[len(terms)] float32: each query term's part of the score of the document; 0 where it lacks the term."""
        shard, local = self._locate(position)
        impacts = shard.impacts(local, np.asarray(terms, np.int64))
        return (np.asarray(weights, np.float64) * impacts * shard.step).astype(np.float32)

    def stored(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """The stored fields of documents: "id" and every further column of the vector files (captions, thumbnail bytes, ...)."""
        located = [self._locate(int(position)) for position in positions]
        return [shard.stored.row(local) for shard, local in located]

    def stored_columns(self, names: Sequence[str]) -> pa.Table:
        """Some stored fields of all documents, in the order of positions; the other fields are not copied.

        Raises:
            QueryError: a field that is not stored in every shard.
        """
        for name in names:
            if any(name not in shard.stored.schema.names for shard in self._shards):
                stored = ", ".join(dict.fromkeys(name for shard in self._shards for name in shard.stored.schema.names))
                raise QueryError(f"{name!r} is not a stored field; there are: {stored}.")
        batches = [
            shard.stored.batch(number).select(list(names))
            for shard in self._shards
            for number in range(shard.stored.batches)
        ]
        return pa.Table.from_batches(batches)

    @property
    def stored_fields(self) -> list[str]:
        """Names of the stored fields of the first shard."""
        return list(self._shards[0].stored.schema.names) if self._shards else []

    def position_of(self, id: str) -> int | None:
        """The position of the document with this id; None when there is none, or it was deleted."""
        for number, shard in enumerate(self._shards):
            position = shard.position_of(id)
            if position is not None:
                return int(self._first[number]) + position
        return None

    def vector(self, position: int) -> LexiconVector:
        """The indexed vector of a document: pruned, quantised, weights as floats again."""
        shard, local = self._locate(position)
        terms, impacts = shard.vector(local)
        return LexiconVector(terms, (impacts * shard.step).astype(np.float32))
