"""An index on disk, opened for searching."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexlip.tables import LexiconVector

LARGEST_K = 1000
LARGEST_QUERY = 512


@dataclass(frozen=True)
class Hits:
    """The answer to one query, best first.

    Attributes:
        positions: [n] int64, n <= k; the position of a document counts through the opened shards in their order, and inside a shard
            in the order of the vector files it was built from.
        scores: [n] float32, all above 0, falling; equal scores are in ascending order of positions.
    """

    positions: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


class Index:
    """A read-only view of one published state (generation) of an index.

    Attributes:
        manifest: what `index.json` says: fingerprints, settings, generation and the shards.
        documents: number of positions, deleted documents included.
        bytes: size of the posting files, id maps included, stored fields not.
    """

    manifest: "Manifest"
    documents: int
    bytes: int

    @classmethod
    def open(cls, path: str | Path, *, shards: Sequence[int] | None = None) -> "Index":
        """Opens all shards of the index in `path`, or those with the given numbers (`ShardEntry.shard`).

        Raises:
            IndexFormatError: no index there, or a file is missing, truncated or foreign.
        """

    def search(
        self,
        terms: np.ndarray,
        weights: np.ndarray,
        k: int = 10,
        *,
        allowed: "np.ndarray | DocumentFilter | None" = None,
        rerank: int = 0,
    ) -> Hits:
        """The k best documents by sum over shared terms of query weight x impact; exact, ties by lower position.

        Args:
            terms: [n] distinct term ids, 1 to 512, any integer type, any order.
            weights: [n] finite, not 0; a negative weight counts against documents with that term.
            k: 1 to 1,000.
            allowed: [documents] bool, or a `DocumentFilter` made once with `document_filter`; others are left out before the top k.
            rerank: when above 0, the best `rerank` documents by impacts are put in order by their exact weights (needs
                `BuildSettings.keep_exact_weights`).

        Raises:
            QueryError: unsuitable terms, weights or k.
        """

    def search_batch(
        self, queries: Sequence[LexiconVector], k: int = 10, *, threads: int = 1, allowed: "np.ndarray | DocumentFilter | None" = None
    ) -> list[Hits]:
        """`search` for many queries in one call, on several threads without the interpreter lock."""

    def document_filter(self, allowed: np.ndarray) -> "DocumentFilter":
        """Prepares a filter [documents] bool for many searches."""

    def contributions(self, position: int, terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[len(terms)] float32: each query term's part of the score of the document at `position`; 0 where it lacks the term."""

    def stored(self, positions: Sequence[int]) -> list[dict]:
        """The stored fields of documents: "id" and every other column of the vector files (captions, thumbnail bytes, ...)."""

    def position_of(self, id: str) -> int | None:
        """The position of the document with this id; None when there is none or it was deleted."""

    def vector(self, position: int) -> LexiconVector:
        """The indexed (pruned, quantised) vector of a document, weights as floats."""

    def close(self) -> None:
        """Lets go of the mapped files; the index must not be used afterwards."""
