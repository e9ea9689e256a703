"""Recall at 1, 5 and 10 from the ranks of right answers."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

NOT_FOUND = 0


@dataclass(frozen=True)
class Recall:
    """Share of queries whose right answer is among the first 1, 5 and 10, in percent."""

    r1: float
    r5: float
    r10: float

    @classmethod
    def of_ranks(cls, ranks: np.ndarray) -> "Recall":
        """Recall of [Q] ranks that start at 1; `NOT_FOUND` (0) stands for an answer that was not returned at all.

        No queries give a recall of 0.
        """
        found = ranks != NOT_FOUND
        shares = [100.0 * np.count_nonzero(found & (ranks <= cutoff)) / max(len(ranks), 1) for cutoff in (1, 5, 10)]
        return cls(*(round(float(share), 2) for share in shares))

    def to_json(self) -> dict[str, float]:
        """`{"r1", "r5", "r10"}`."""
        return asdict(self)


def ranks_of_right(score_blocks: Iterable[np.ndarray], right: Sequence[np.ndarray], least: float) -> np.ndarray:
    """Rank of every query's best right answer, as a search would list it: by score, equal scores by lower position.

    Args:
        score_blocks: the rows of a [Q, D] score matrix, in order, some rows at a time.
        right: for each of the Q queries the positions of its right answers, at least one.
        least: an answer must score above this to be returned at all: 0 for lexicon vectors, where a document that
            shares no term with the query is not a hit, and -inf for dense vectors.

    Returns:
        [Q] int64, 1 for the first place, `NOT_FOUND` when no right answer is returned.
    """
    ranks = np.full(len(right), NOT_FOUND, np.int64)
    query = 0
    for scores_BD in score_blocks:
        for scores_D in scores_BD:
            positions = right[query]
            # The best right answer: highest score, and among equals the lowest position.
            best = positions[np.lexsort((positions, -scores_D[positions]))[0]]
            if scores_D[best] > least:
                ahead = np.count_nonzero(scores_D > scores_D[best])
                ranks[query] = 1 + ahead + np.count_nonzero(scores_D[:best] == scores_D[best])
            query += 1
    return ranks


def ranks_in_hits(hits: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> np.ndarray:
    """Rank of every query's best right answer in the positions that an index returned, best first.

    Args:
        hits: for each query the returned positions, as many as were asked for or fewer.
        right: for each query the positions of its right answers.
    """
    ranks = np.full(len(right), NOT_FOUND, np.int64)
    for query, (positions, answers) in enumerate(zip(hits, right, strict=True)):
        places = np.flatnonzero(np.isin(positions, answers))
        if len(places):
            ranks[query] = places[0] + 1
    return ranks


def best_answers(
    score_blocks: Iterable[np.ndarray], count: int, least: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first answers of every query as a search would list them, and their scores.

    Args:
        score_blocks: as for `ranks_of_right`.
        count: how many at most.
        least: an answer must score above this.
    """
    positions, scores = [], []
    for scores_BD in score_blocks:
        for scores_D in scores_BD:
            count_here = min(count, len(scores_D))
            last = np.partition(scores_D, len(scores_D) - count_here)[len(scores_D) - count_here]
            # All that tie with the last are looked at, because the lower position comes first.
            some = np.flatnonzero((scores_D >= last) & (scores_D > least))
            best = some[np.lexsort((some, -scores_D[some]))][:count]
            positions.append(best)
            scores.append(scores_D[best])
    return positions, scores
