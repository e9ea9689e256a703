"""One ranking out of the shards' rankings: score descending, then global position ascending."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Best documents of one shard, of several, or of all.

    Attributes:
        positions: [N] int64, positions in the whole index.
        scores: [N] float32.
    """

    positions: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def empty(cls) -> "Ranking":
        """No documents."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))


def merge(rankings: Sequence[Ranking], k: int) -> Ranking:
    """The `k` best of all rankings. Equal scores go by position, so the order does not depend on who answered first.

    Args:
        rankings: any number, each over documents of its own.
        k: how many to keep.
    """
    if not rankings:
        return Ranking.empty()
    positions = np.concatenate([ranking.positions for ranking in rankings])
    scores = np.concatenate([ranking.scores for ranking in rankings])
    kept = np.lexsort((positions, -scores))[:k]
    return Ranking(positions[kept], scores[kept])
