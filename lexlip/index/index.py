"""An index on disk, opened for searching."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from lexlip.errors import IndexFormatError, QueryError
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.index.manifest import Manifest, read_manifest
from lexlip.index.query import query_arrays
from lexlip.index.remote_files import fetch
from lexlip.index.shard import Shard
from lexlip.storage import Location, locate
from lexlip.tables import LexiconVector

_QUERIES_AT_ONCE = 32  # what a thread takes at a time from a batch


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to one query, best first.

    Attributes:
        positions: [n] int64, n <= k; positions count through the opened shards in their order, and inside a shard in
        the order of the
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
        words: one array a shard, a bit a document in the order in which it is stored.
    """

    words: tuple[np.ndarray, ...]


class Index:
    """A read-only view of one published state (generation) of an index; later changes do not show until it is opened
    again.

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

    @classmethod
    def open(cls, path: str | Location, *, shards: Sequence[int] | None = None) -> "Index":
        """Opens all shards of the index in `path`, or those with the given numbers (`ShardEntry.shard`).

        Of an index behind a URL the files of these shards are fetched first, unless they were before.

        Raises:
            StorageError: the URL cannot be reached.
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
        folder = fetch(locate(path), chosen)
        return cls(manifest, [Shard(folder, entry) for entry in chosen])

    def search(
        self,
        terms: np.ndarray,
        weights: np.ndarray,
        k: int = 10,
        *,
        allowed: np.ndarray | DocumentFilter | None = None,
        rerank: int = 0,
    ) -> Hits:
        """The k best documents by sum over shared terms of query weight x document weight; exact, ties by lower
        position.

        Exact is meant over the quantised document weights, with query weights rounded to 2^-23 of their sum or finer.
        A document whose score is 0 or less is no hit.

        Args:
            terms: [n] distinct term ids, 1 to 512, in any order.
            weights: [n] finite and not 0; a negative weight counts against the documents that have the term.
            k: 1 to 1,000.
            allowed: [documents] bool, or a `DocumentFilter` prepared for many searches; other documents are left out
                before the top k.
            rerank: when above 0, that many hits (at least k) are found first, and put in order by their weights before
                quantisation (needs `BuildSettings.keep_exact_weights`).

        Raises:
            QueryError: unsuitable terms, weights, k or filter, or no exact weights to rerank with.
            IndexFormatError: a posting list that is needed is damaged.
        """
        wanted = max(k, rerank)
        query_terms, query_weights = query_arrays(terms, weights, wanted)
        if len(self._shards) == 1 and allowed is None:
            only = self._shards[0]
            positions, scores = only.postings.answer_one(query_terms, query_weights, wanted, only.live_words(None))
            hits = Hits(positions, scores.astype(np.float32))
        else:
            starts = np.array([0, query_terms.size], np.int64)
            hits = self._answer(starts, query_terms, query_weights, wanted, 0, 1, self._prepared(allowed))[0]
        return hits if rerank == 0 else self._reranked(hits, query_terms, query_weights, k)

    def search_batch(
        self,
        queries: Sequence[LexiconVector],
        k: int = 10,
        *,
        threads: int = 1,
        allowed: np.ndarray | DocumentFilter | None = None,
    ) -> list[Hits]:
        """`search` for many queries in one call; several threads run side by side, without the interpreter lock."""
        checked = [query_arrays(query.terms, query.weights, k) for query in queries]
        if not checked:
            return []
        starts = np.concatenate([[0], np.cumsum([terms.size for terms, _ in checked])]).astype(np.int64)
        all_terms = np.concatenate([terms for terms, _ in checked])
        all_weights = np.concatenate([weights for _, weights in checked])
        document_filter = self._prepared(allowed)

        def part(first: int) -> list[Hits]:
            last = min(first + _QUERIES_AT_ONCE, len(checked))
            return self._answer(starts, all_terms, all_weights, k, first, last, document_filter)

        firsts = range(0, len(checked), _QUERIES_AT_ONCE)
        if threads == 1:
            return [hits for first in firsts for hits in part(first)]
        with ThreadPoolExecutor(threads) as pool:
            return [hits for hits_of_part in pool.map(part, firsts) for hits in hits_of_part]

    def _answer(
        self,
        starts: np.ndarray,
        terms: np.ndarray,
        weights: np.ndarray,
        k: int,
        first: int,
        last: int,
        document_filter: DocumentFilter | None,
    ) -> list[Hits]:
        """Searches all shards for queries [first, last) of a batch."""
        queries = last - first
        own_starts = starts[first : last + 1]
        found = []
        for number, shard in enumerate(self._shards):
            positions = np.empty((queries, k), np.int64)
            scores = np.empty((queries, k), np.float64)
            counts = np.empty(queries, np.int64)
            live = shard.live_words(None) if document_filter is None else document_filter.words[number]
            shard.postings.answer(own_starts, terms, weights, k, 0, queries, live, positions, scores, counts)
            if number > 0:
                positions += self._first[number]
            found.append((positions, scores, counts))
        if len(found) == 1:
            positions, scores, counts = found[0]
            short = scores.astype(np.float32)
            return [Hits(positions[query, :count], short[query, :count]) for query, count in enumerate(counts.tolist())]
        return [self._merged(found, query, k) for query in range(queries)]

    @staticmethod
    def _merged(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], query: int, k: int) -> Hits:
        if not found:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        positions = np.concatenate([positions[query, : counts[query]] for positions, _, counts in found])
        scores = np.concatenate([scores[query, : counts[query]] for _, scores, counts in found])
        order = np.lexsort((positions, -scores))[:k]
        return Hits(positions[order], scores[order].astype(np.float32))

    def _reranked(self, hits: Hits, terms: np.ndarray, weights: np.ndarray, k: int) -> Hits:
        ascending = np.argsort(terms)
        scores = np.empty(len(hits), np.float64)
        for place, position in enumerate(hits.positions.tolist()):
            shard, local = self._locate(position)
            if shard.exact_weights is None:
                raise QueryError("this index keeps no exact weights; build it with keep_exact_weights to rerank.")
            scores[place] = shard.exact_weights.score(local, terms[ascending], weights[ascending])
        order = np.lexsort((hits.positions, -scores))[:k]
        return Hits(hits.positions[order], scores[order].astype(np.float32))

    def documents_with(self, term: int) -> np.ndarray:
        """[documents] bool: which documents have a term, deleted ones included.

        Raises:
            IndexFormatError: the term's list is damaged.
        """
        return np.concatenate([shard.postings.documents_with(term) for shard in self._shards])

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
        parts = np.split(allowed, self._first[1:-1])
        return DocumentFilter(tuple(shard.live_words(part) for shard, part in zip(self._shards, parts, strict=True)))

    def _prepared(self, allowed: np.ndarray | DocumentFilter | None) -> DocumentFilter | None:
        return allowed if allowed is None or isinstance(allowed, DocumentFilter) else self.document_filter(allowed)

    def _locate(self, position: int) -> tuple[Shard, int]:
        if not 0 <= position < self.documents:
            raise QueryError(f"position {position} is outside the index of {self.documents} documents.")
        number = int(np.searchsorted(self._first, position, side="right")) - 1
        return self._shards[number], int(position - self._first[number])

    def contributions(self, position: int, terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[len(terms)] float32: each query term's part of the score of the document; 0 where it lacks the term.

        In a fused query those from `manifest.captions.first_term` on are captions' parts.
        """
        shard, local = self._locate(position)
        impacts = shard.postings.impacts(local, np.asarray(terms).astype(np.int64))
        return (np.asarray(weights, np.float64) * impacts * shard.postings.step).astype(np.float32)

    def stored(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """The stored fields of documents: "id" and every further column of the vector files (captions, thumbnail
        bytes, ...).
        """
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
        """The indexed lexicon vector of a document: pruned, quantised, weights as floats again."""
        shard, local = self._locate(position)
        impacts = shard.postings.impacts(local, np.arange(self.manifest.vocabulary_terms))
        terms = np.flatnonzero(impacts).astype(np.int32)
        return LexiconVector(terms, (impacts[terms] * shard.postings.step).astype(np.float32))

    @cached_property
    def captions(self) -> CaptionStatistics | None:
        """What `fuse` must know to search captions too; None when they are not indexed.

        Counted over the opened shards: open all of them for the statistics of the index.

        Raises:
            IndexFormatError: the counts of a shard are damaged.
        """
        if self.manifest.captions is None:
            return None
        counts = [shard.caption_counts for shard in self._shards if shard.caption_counts is not None]
        return CaptionStatistics.read(self.manifest.captions, counts)
