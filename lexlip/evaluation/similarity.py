"""Exact scores of all queries against all documents, some rows at a time.

This is the yardstick for model quality: floating-point weights, nothing pruned or quantised, no index between. Scores
of lexicon vectors add up term by term in ascending order of terms, so equal documents get exactly equal scores.
"""

from collections.abc import Iterator, Sequence

import numba
import numpy as np

from lexlip.tables import LexiconVector

SCORE_CELLS = 32 * 2**20  # scores held at a time: 128 MiB of float32


def sparse_scores(queries: Sequence[LexiconVector], documents: Sequence[LexiconVector]) -> Iterator[np.ndarray]:
    """Inner products of lexicon vectors: yields [B, D] float32 blocks of the [Q, D] matrix, in order."""
    posting_starts, posting_documents, posting_weights = _transpose(documents)
    for block in _blocks(len(queries), len(documents)):
        scores_BD = np.zeros((len(block), len(documents)), np.float32)
        starts, terms, weights = _concatenate([queries[row] for row in block])
        _accumulate(starts, terms, weights, posting_starts, posting_documents, posting_weights, scores_BD)
        yield scores_BD


def dense_scores(queries_QE: np.ndarray, documents_DE: np.ndarray) -> Iterator[np.ndarray]:
    """Inner products of dense vectors: yields [B, D] float32 blocks of the [Q, D] matrix, in order."""
    for block in _blocks(len(queries_QE), len(documents_DE)):
        yield queries_QE[block.start : block.stop] @ documents_DE.T


def scores_of(
    queries: Sequence[LexiconVector] | np.ndarray, documents: Sequence[LexiconVector] | np.ndarray
) -> Iterator[np.ndarray]:
    """`dense_scores` or `sparse_scores`, as the vectors are."""
    if isinstance(queries, np.ndarray) or isinstance(documents, np.ndarray):
        return dense_scores(np.asarray(queries), np.asarray(documents))
    return sparse_scores(queries, documents)


def least_score(vectors: Sequence[LexiconVector] | np.ndarray) -> float:
    """What an answer must score above: a document that shares no term with a query is none, a dense one always is."""
    return -np.inf if isinstance(vectors, np.ndarray) else 0.0


def _blocks(queries: int, documents: int) -> Iterator[range]:
    rows = max(1, SCORE_CELLS // max(documents, 1))
    for start in range(0, queries, rows):
        yield range(start, min(start + rows, queries))


def _concatenate(vectors: Sequence[LexiconVector]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.zeros(len(vectors) + 1, np.int64)
    np.cumsum([len(vector) for vector in vectors], out=starts[1:])
    terms = np.concatenate([vector.terms for vector in vectors] or [np.empty(0, np.int32)]).astype(np.int32, copy=False)
    weights = np.concatenate([vector.weights for vector in vectors] or [np.empty(0, np.float32)])
    return starts, terms, weights.astype(np.float32, copy=False)


def _transpose(documents: Sequence[LexiconVector]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posting lists: where each term's begins, [T + 1]; the documents in it, ascending; and their weights."""
    starts, terms, weights = _concatenate(documents)
    owners = np.repeat(np.arange(len(documents), dtype=np.int32), np.diff(starts))
    order = np.argsort(terms, kind="stable")
    posting_starts = np.zeros(int(terms.max(initial=-1)) + 2, np.int64)
    np.cumsum(np.bincount(terms, minlength=len(posting_starts) - 1), out=posting_starts[1:])
    return posting_starts, owners[order], weights[order]


@numba.njit(nogil=True, cache=True)
def _accumulate(
    starts: np.ndarray,
    terms: np.ndarray,
    weights: np.ndarray,
    posting_starts: np.ndarray,
    posting_documents: np.ndarray,
    posting_weights: np.ndarray,
    scores_BD: np.ndarray,
) -> None:
    known_terms = len(posting_starts) - 1
    for row in range(len(starts) - 1):
        scores_D = scores_BD[row]
        for entry in range(starts[row], starts[row + 1]):
            term = terms[entry]
            if term >= known_terms:
                continue
            weight = weights[entry]
            for posting in range(posting_starts[term], posting_starts[term + 1]):
                scores_D[posting_documents[posting]] += weight * posting_weights[posting]
