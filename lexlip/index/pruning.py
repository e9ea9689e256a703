"""Keeping only the heaviest terms of a document."""

import numpy as np
from numba import njit, types

_STARTS = types.int64[::1]
_TERMS = types.int32[::1]
_WEIGHTS = types.float32[::1]


@njit(types.void(_STARTS, _TERMS, _WEIGHTS, _STARTS, _TERMS, _WEIGHTS), cache=True, nogil=True)
def _copy_heaviest(starts, terms, weights, kept_starts, kept_terms, kept_weights):
    """Copies of every row the heaviest terms that fit into `kept_starts`, ties by lower term, in ascending order of terms."""
    for row in range(starts.size - 1):
        begin, end = starts[row], starts[row + 1]
        room = kept_starts[row + 1] - kept_starts[row]
        write = kept_starts[row]
        if room == end - begin:
            kept_terms[write : write + room] = terms[begin:end]
            kept_weights[write : write + room] = weights[begin:end]
            continue
        lightest = np.partition(weights[begin:end], end - begin - room)[end - begin - room]
        heavier = 0
        for posting in range(begin, end):
            heavier += weights[posting] > lightest
        ties = room - heavier
        for posting in range(begin, end):
            tied = weights[posting] == lightest and ties > 0
            if weights[posting] > lightest or tied:
                ties -= tied
                kept_terms[write] = terms[posting]
                kept_weights[write] = weights[posting]
                write += 1


def keep_top_terms(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, top_terms: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `top_terms` heaviest terms of every row, as new (starts, terms, weights); everything when `top_terms` is None.

    Args:
        starts: [rows + 1] int64, beginning with 0.
        terms: [postings] int32, ascending inside a row.
        weights: [postings] float32.
        top_terms: how many at most; ties go to the lower term.
    """
    lengths = np.diff(starts)
    if top_terms is None or int(lengths.max(initial=0)) <= top_terms:
        return starts, terms, weights
    kept_starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, top_terms))]).astype(np.int64)
    kept_terms, kept_weights = np.empty(kept_starts[-1], np.int32), np.empty(kept_starts[-1], np.float32)
    _copy_heaviest(
        np.require(starts, np.int64, "CW"),
        np.require(terms, np.int32, "CW"),
        np.require(weights, np.float32, "CW"),
        kept_starts,
        kept_terms,
        kept_weights,
    )
    return kept_starts, kept_terms, kept_weights
