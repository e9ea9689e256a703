"""Vectors of pictures that nobody took: mixtures of the vectors of real ones, the same mixtures for several models.

A large corpus needs more distractors than there are photos at hand. Each drawn document mixes a real one with two of
its nearest neighbours, which makes the corpus denser everywhere, as more photos of the same things would. Mixtures keep
which terms occur together; how many terms a document has is that of the real one that weighs most in it. Two models
that are compared get the same mixtures of the same documents, so both face the same neighbours.

Shapes: S real documents, K neighbours, N drawn documents, M documents in a mixture, E embedding width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from lexlip.errors import DataError
from lexlip.evaluation.similarity import dense_scores, sparse_scores
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.tables import SMALLEST_LENGTH

NEIGHBOURS = 32
MIXED = 3
FEWEST_SOURCES = 16
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class Mixtures:
    """What is mixed.

    Attributes:
        sources_NM: int32, numbers of real documents; the first of a row has the largest share.
        shares_NM: float32, positive, sum 1.
    """

    sources_NM: np.ndarray
    shares_NM: np.ndarray

    def __len__(self) -> int:
        return len(self.sources_NM)

    def between(self, first: int, last: int) -> "Mixtures":
        """Mixtures [first, last)."""
        return Mixtures(self.sources_NM[first:last], self.shares_NM[first:last])


def joint_neighbours(dense_SE: np.ndarray, lexicon: SparseRows, count: int = NEIGHBOURS) -> np.ndarray:
    """[S, K] int32: the nearest other documents by the sum of both models' similarities.

    The similarities of each model are standardised row by row, so that neither decides alone.

    Raises:
        DataError: too few documents.
    """
    documents = len(dense_SE)
    if documents < FEWEST_SOURCES:
        raise DataError(
            f"only {documents} real document(s) to draw others from; give at least {FEWEST_SOURCES}, or no --images"
        )
    count = min(count, documents - 1)
    vectors = [lexicon.row(number) for number in range(documents)]
    found = [
        _nearest(dense_BS, sparse_BS, first, count)
        for first, dense_BS, sparse_BS in _blocks(dense_scores(dense_SE, dense_SE), sparse_scores(vectors, vectors))
    ]
    return np.concatenate(found)


def _blocks(dense: Iterator[np.ndarray], sparse: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    first = 0
    for dense_BS, sparse_BS in zip(dense, sparse, strict=True):
        yield first, dense_BS, sparse_BS
        first += len(dense_BS)


def _nearest(dense_BS: np.ndarray, sparse_BS: np.ndarray, first: int, count: int) -> np.ndarray:
    sum_BS = _standardised(dense_BS) + _standardised(sparse_BS)
    rows = np.arange(len(sum_BS))
    sum_BS[rows, first + rows] = -np.inf
    return np.argpartition(-sum_BS, count - 1, axis=1)[:, :count].astype(np.int32)


def _standardised(scores_BS: np.ndarray) -> np.ndarray:
    spread = scores_BS.std(axis=1, keepdims=True)
    return (scores_BS - scores_BS.mean(axis=1, keepdims=True)) / np.maximum(spread, SMALLEST_SPREAD)


def draw_mixtures(neighbours_SK: np.ndarray, count: int, seed: int) -> Mixtures:
    """Draws mixtures: a document at random, two of its neighbours, shares from a flat Dirichlet distribution.

    The first mixtures of a larger count are those of a smaller one.

    Args:
        neighbours_SK: of `joint_neighbours`.
        count: how many.
        seed: of the draw.
    """
    documents, nearest = neighbours_SK.shape
    # One generator a quantity keeps the beginning of a longer draw equal to a shorter one.
    of_sources, of_neighbours, of_shares = (np.random.default_rng([seed, number]) for number in range(3))
    first = of_sources.integers(0, documents, count)
    one = of_neighbours.integers(0, np.array([nearest, nearest - 1]), (count, MIXED - 1))
    one[:, 1] += one[:, 1] >= one[:, 0]
    sources_NM = np.column_stack([first, neighbours_SK[first, one[:, 0]], neighbours_SK[first, one[:, 1]]])
    shares_NM = of_shares.dirichlet(np.ones(MIXED), count)
    order = np.argsort(-shares_NM, axis=1, kind="stable")
    return Mixtures(
        np.take_along_axis(sources_NM, order, 1).astype(np.int32),
        np.take_along_axis(shares_NM, order, 1).astype(np.float32),
    )


def mix_dense(vectors_SE: np.ndarray, mixtures: Mixtures) -> np.ndarray:
    """[N, E] float32 of unit length."""
    mixed_NE = np.zeros((len(mixtures), vectors_SE.shape[1]), np.float32)
    for place in range(MIXED):
        mixed_NE += mixtures.shares_NM[:, place, None] * vectors_SE[mixtures.sources_NM[:, place]]
    return mixed_NE / np.maximum(np.linalg.norm(mixed_NE, axis=1, keepdims=True), SMALLEST_LENGTH)


def mix_lexicon(rows: SparseRows, mixtures: Mixtures) -> SparseRows:
    """N rows of unit length, each with as many terms as the document that weighs most in it has."""
    lengths = np.diff(rows.starts)[mixtures.sources_NM[:, 0]]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    terms, weights = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    vocabulary_terms = int(rows.terms.max(initial=-1)) + 1
    _mix(
        rows.starts,
        rows.terms,
        rows.weights,
        mixtures.sources_NM,
        mixtures.shares_NM,
        starts,
        terms,
        weights,
        vocabulary_terms,
    )
    return SparseRows(starts, terms, weights)


@numba.njit(nogil=True, cache=True)
def _mix(
    row_starts: np.ndarray,
    row_terms: np.ndarray,
    row_weights: np.ndarray,
    sources_NM: np.ndarray,
    shares_NM: np.ndarray,
    starts: np.ndarray,
    terms: np.ndarray,
    weights: np.ndarray,
    vocabulary_terms: int,
) -> None:
    sums = np.zeros(vocabulary_terms, np.float32)
    touched = np.empty(vocabulary_terms, np.int32)
    for number in range(len(sources_NM)):
        count = 0
        for place in range(sources_NM.shape[1]):
            source = sources_NM[number, place]
            for posting in range(row_starts[source], row_starts[source + 1]):
                term = row_terms[posting]
                if sums[term] == 0.0:
                    touched[count] = term
                    count += 1
                sums[term] += shares_NM[number, place] * row_weights[posting]
        begin = starts[number]
        kept = starts[number + 1] - begin
        # Terms ascend before the stable sort, so that equal weights leave the lower term.
        ascending = np.sort(touched[:count])
        heaviest = np.sort(ascending[np.argsort(-sums[ascending], kind="mergesort")[:kept]])
        squares = 0.0
        for place in range(kept):
            squares += sums[heaviest[place]] ** 2
        length = max(np.sqrt(squares), SMALLEST_LENGTH)
        for place in range(kept):
            terms[begin + place] = heaviest[place]
            weights[begin + place] = sums[heaviest[place]] / length
        for place in range(count):
            sums[touched[place]] = 0.0
