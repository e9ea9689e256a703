"""Keeping the few terms of a vector that together say most of what it says, by orthogonal matching pursuit.

Shapes: V vocabulary, R rank of the factor, N terms of one row, K of them kept.

Terms overlap: a photo that weighs *dog* weighs *puppy* and *pet* too, and its three heaviest terms may well say one
thing thrice. What a vector is for is its scores with the vectors of the other side, so of a row w a vector x with at
most K terms is kept whose scores differ least from those of w, as far as the other side varies:

    minimise  (w - x)' M (w - x),   M = C + ridge I,   x not negative,

where C is the covariance of the other side's vectors. Terms are taken one by one, each time the one that takes most of
what is left (orthogonal least squares: Chen, Billings and Luo 1989; matching pursuit: Pati et al. 1993), and what is
kept is weighed anew, so that *dog* takes over the weight of the *puppy* that was left out; a term that would get a
weight below zero then, which hardly happens, is left out. With a C of zero this is the K heaviest terms with their own
weights. The ridge holds weights to what they were where C says little, and keeps terms that the other side hardly ever
had.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import kernel
from lexlip.index.term_covariance import TermCovariance

RIDGE = 1.0  # times the mean variance of a row's own terms; a half finds nearly as much
# Terms of a row that may be taken: so many for each that is kept, and so many at least, those that would do most on
# their own. Rows of a trained model hardly have more; those of a fresh one have thousands, all of which take time.
CANDIDATES_EACH, LEAST_CANDIDATES = 4, 256
NO_VARIANCE = 1e-20  # mean variance of a row's terms below which they count as never weighed; unit vectors have 1e-4
NOTHING_LEFT = 1e-6  # of its variance and ridge: a term with less left to say is said by those kept already


@kernel
def _take_out(factor_RN, variance_N, left_N, taken_K, steps_KN, gains_K):
    """Takes terms until `taken_K` is full or no term has anything left to add; returns how many.

    Args:
        factor_RN: of the N candidates.
        variance_N: diagonal of M; becomes what the taken terms do not say of each.
        left_N: M w; becomes M (w - x).
        taken_K: output, int64 places among the candidates in the order in which they are taken.
        steps_KN: output, rows of the Cholesky factor of M that the taken terms reveal.
        gains_K: output, what is projected on each of them.
    """
    rank, terms = factor_RN.shape
    least_N, whole_N = NOTHING_LEFT * variance_N, variance_N.copy()
    for count in range(taken_K.size):
        best, best_gain = -1, np.float32(0.0)
        for place in range(terms):
            if left_N[place] > 0 and variance_N[place] > least_N[place]:
                gain = left_N[place] * left_N[place] / variance_N[place]
                if gain > best_gain:
                    best, best_gain = place, gain
        if best < 0:
            return count
        step_N = steps_KN[count]
        step_N[:] = 0
        for part in range(rank):
            factor = factor_RN[part, best]
            for place in range(terms):
                step_N[place] += factor * factor_RN[part, place]
        step_N[best] = whole_N[best]
        for earlier in range(count):
            share = steps_KN[earlier, best]
            for place in range(terms):
                step_N[place] -= share * steps_KN[earlier, place]
        scale = np.float32(1.0) / np.sqrt(variance_N[best])
        gains_K[count] = left_N[best] * scale
        for place in range(terms):
            step_N[place] *= scale
            left_N[place] -= gains_K[count] * step_N[place]
            variance_N[place] -= step_N[place] * step_N[place]
        variance_N[best] = 0.0
        taken_K[count] = best
    return taken_K.size


@kernel
def _pursue_rows(starts, terms, weights, factor_VR, variance_V, ridge, kept_starts, kept_terms, kept_weights):
    """Cuts every row to the room that `kept_starts` has for it, in ascending order of terms; a weight of zero is a
    place that was not needed.

    Args:
        starts, terms, weights: the rows, as of `keep_terms_by_pursuit`.
        factor_VR, variance_V: factor and diagonal of the covariance.
        ridge: in units of a row's mean variance.
        kept_starts: [rows + 1] int64, where the places of each row begin.
        kept_terms, kept_weights: output, int32 and float32.
    """
    rank = factor_VR.shape[1]
    for row in range(starts.size - 1):
        first, size = starts[row], starts[row + 1] - starts[row]
        write, room = kept_starts[row], kept_starts[row + 1] - kept_starts[row]
        terms_N, weights_N = terms[first : first + size], weights[first : first + size]
        if size <= room:
            kept_terms[write : write + size] = terms_N
            kept_weights[write : write + size] = weights_N
            continue
        factor_RN, row_R = np.empty((rank, size), np.float32), np.zeros(rank, np.float32)
        for place in range(size):
            for part in range(rank):
                factor = factor_VR[terms_N[place], part]
                factor_RN[part, place] = factor
                row_R[part] += factor * weights_N[place]
        variance_N = variance_V[terms_N]
        mean = variance_N.mean()
        if mean > NO_VARIANCE:  # M over the mean, so that no product leaves the range of single precision
            variance_N /= mean
            factor_RN /= np.sqrt(mean)
            row_R /= np.sqrt(mean)
        else:  # where nothing varies, the ridge decides: the heaviest terms are kept
            variance_N[:] = 0
            factor_RN[:] = 0
        variance_N += ridge
        left_N = variance_N * weights_N
        for part in range(rank):
            for place in range(size):
                factor = factor_RN[part, place]
                left_N[place] += factor * (row_R[part] - factor * weights_N[place])
        most = max(LEAST_CANDIDATES, CANDIDATES_EACH * room)
        if size > most:
            alone_N = np.maximum(left_N, 0) ** 2 / variance_N
            chosen = np.flatnonzero(alone_N >= np.partition(alone_N, size - most)[size - most])
            terms_N, size = terms_N[chosen], chosen.size
            factor_RN, variance_N, left_N = factor_RN[:, chosen], variance_N[chosen], left_N[chosen]
        taken_K = np.full(room, -1, np.int64)
        steps_KN, gains_K = np.empty((room, size), np.float32), np.empty(room, np.float32)
        count = _take_out(factor_RN, variance_N, left_N, taken_K, steps_KN, gains_K)
        for late in range(count - 1, -1, -1):  # the taken terms' weights solve the triangle of steps
            for later in range(late + 1, count):
                gains_K[late] -= steps_KN[late, taken_K[later]] * gains_K[later]
            gains_K[late] /= steps_KN[late, taken_K[late]]
        in_order = np.argsort(taken_K[:count])
        for place in range(count):
            kept_terms[write + place] = terms_N[taken_K[in_order[place]]]
            kept_weights[write + place] = max(gains_K[in_order[place]], np.float32(0.0))


def keep_terms_by_pursuit(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, top_terms: int | None, other_side: TermCovariance
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most `top_terms` terms of every row, weighed anew, as new (starts, terms, weights); rows that have no more
    stay as they are, and so does everything when `top_terms` is None.

    Args:
        starts: [rows + 1] int64, beginning with 0.
        terms: [postings] int32, ascending inside a row.
        weights: [postings] float32, positive.
        top_terms: how many at most; ties go to the lower term.
        other_side: of the vectors that these will be scored with.
    """
    if top_terms is None:
        return starts, terms, weights
    kept_starts = np.concatenate([[0], np.cumsum(np.minimum(np.diff(starts), top_terms))]).astype(np.int64)
    kept_terms, kept_weights = np.empty(kept_starts[-1], np.int32), np.zeros(kept_starts[-1], np.float32)
    _pursue_rows(
        np.require(starts, np.int64, ["C", "W"]),
        np.require(terms, np.int32, ["C", "W"]),
        np.require(weights, np.float32, ["C", "W"]),
        np.require(other_side.factor_VR, np.float32, ["C", "W"]),
        np.require(other_side.variance_V, np.float32, ["C", "W"]),
        np.float32(RIDGE),
        kept_starts,
        kept_terms,
        kept_weights,
    )
    needed = kept_weights > 0
    ends = np.concatenate([[0], np.cumsum(needed)])
    return ends[kept_starts].astype(np.int64), kept_terms[needed], kept_weights[needed]
