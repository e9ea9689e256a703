"""How long vectors are: so long that none is near to everything.

Shapes: R rank of the covariance's factor.

Of vectors of unit length, some have scores with the other side that vary more than those of others, because their
terms are frequent there and come together. Such vectors are *hubs* (Radovanovic, Nanopoulos and Ivanovic 2010): a photo
that is high up in many answers it has no place in, while others are in none. What is known against hubs compares every
vector with a bank of the other side's (cross-domain similarity local scaling: Conneau et al. 2018; query bank
normalisation: Bogolin et al. 2022). Here the covariance of the other side knows already how far the scores of a
vector w spread, so it needs no bank:

    spread(w) = sqrt(w' C w) / |w|,   length = sqrt(usual spread / spread(w)),

the middle, geometrically, between equal length and equal spread, which are either worse. C is the covariance's factor
of low rank alone: the rest of the diagonal changes nothing. The lengths of queries change no order of answers; those of
what is searched do, and both sides are searched.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import kernel
from lexlip.index.term_covariance import TermCovariance
from lexlip.tables import SMALLEST_LENGTH

# Times the usual spread: vectors of data like those of training have about half of it at least, nearly all two thirds.
# What has terms that the other side never varied in has no spread, and must not be louder than all others for it.
LEAST_SPREAD = 0.25


@kernel
def _scale(starts, terms, weights, factor_VR, usual_spread, scaled):
    """Gives every row its length.

    Args:
        starts, terms, weights: the rows.
        factor_VR: of the covariance.
        usual_spread: 0 where nothing varies.
        scaled: output, float32 weights.
    """
    for row in range(starts.size - 1):
        row_R, square = np.zeros(factor_VR.shape[1], np.float32), 0.0
        for place in range(starts[row], starts[row + 1]):
            square += np.float64(weights[place]) ** 2
            for part in range(row_R.size):
                row_R[part] += factor_VR[terms[place], part] * weights[place]
        scale = 1 / max(np.sqrt(square), SMALLEST_LENGTH)
        if usual_spread > 0:
            spread = np.sqrt(np.square(row_R.astype(np.float64)).sum()) * scale
            scale /= np.sqrt(max(spread / usual_spread, LEAST_SPREAD))
        for place in range(starts[row], starts[row + 1]):
            scaled[place] = weights[place] * scale


def scale_by_spread(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, other_side: TermCovariance
) -> np.ndarray:
    """float32 weights of rows that are the longer the less their scores with the other side spread, 1 as a rule.

    Unit length where nothing varies; rows without terms stay as they are.

    Args:
        starts: [rows + 1] int64, row i has the terms `terms[starts[i]:starts[i + 1]]`.
        terms: [postings] int32.
        weights: [postings] float32, positive.
        other_side: how the vectors vary that these are compared with.
    """
    scaled = np.empty(len(weights), np.float32)
    _scale(
        np.require(starts, np.int64, ["C", "W"]),
        np.require(terms, np.int32, ["C", "W"]),
        np.require(weights, np.float32, ["C", "W"]),
        np.require(other_side.factor_VR, np.float32, ["C", "W"]),
        float(other_side.usual_spread),
        scaled,
    )
    return scaled
