"""Keeping only the heaviest terms of a document."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import inlined, kernel
from lexlip.index.ranking import replace_lowest


@inlined
def _key(weight_bits, term):
    """A key that is greater for a greater weight (positive floats compare like their bits), then for a lower term."""
    return (np.int64(weight_bits) << 32) | (np.int64(0xFFFFFFFF) - np.int64(term))


@kernel
def _copy_heaviest(starts, terms, weight_bits, weights, kept_starts, kept_terms, kept_weights):
    """Copies of every row the heaviest terms that fit into `kept_starts`, ties by lower term, in ascending order of
    terms.
    """
    for row in range(starts.size - 1):
        begin, end = starts[row], starts[row + 1]
        write = kept_starts[row]
        room = kept_starts[row + 1] - write
        if room == 0:
            continue
        best = np.zeros(room, np.int64)
        if room < end - begin:
            for posting in range(begin, end):
                key = _key(weight_bits[posting], terms[posting])
                if key > best[0]:
                    replace_lowest(best, key)
        for posting in range(begin, end):
            if _key(weight_bits[posting], terms[posting]) >= best[0]:
                kept_terms[write] = terms[posting]
                kept_weights[write] = weights[posting]
                write += 1


def keep_top_terms(
    starts: np.ndarray,
    terms: np.ndarray,
    weights: np.ndarray,
    top_terms: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `top_terms` heaviest terms of every row, as new (starts, terms, weights); everything when `top_terms` is
    None.

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
        np.require(starts, np.int64, ["C", "W"]),
        np.require(terms, np.int32, ["C", "W"]),
        np.require(weights, np.float32, ["C", "W"]).view(np.int32),
        np.require(weights, np.float32, ["C", "W"]),
        kept_starts,
        kept_terms,
        kept_weights,
    )
    return kept_starts, kept_terms, kept_weights
