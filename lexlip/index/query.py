"""Checking a query and turning its weights into whole numbers.

Scores are sums of whole numbers, so that equal documents tie exactly and no bound is lost to rounding. The unit is a power of two chosen per
query: as fine as 31 bits allow when every term had the highest impact.
"""

from dataclasses import dataclass

import numpy as np

from lexlip.errors import QueryError
from lexlip.index.quantisation import highest_impact

LARGEST_K = 1000
LARGEST_QUERY = 512


@dataclass(frozen=True)
class Query:
    """A checked query.

    Attributes:
        terms: [n] int32, distinct.
        weights: [n] int32 in units of 2^-shift, not 0.
        unit: the weight of one unit.
    """

    terms: np.ndarray
    weights: np.ndarray
    unit: float


def checked_query(terms: np.ndarray, weights: np.ndarray, k: int, vocabulary_terms: int, impact_bits: int) -> Query:
    """Checks and quantises a query.

    Raises:
        QueryError: no or too many terms, a term outside the vocabulary or twice, a weight that is 0 or not finite, or an unsuitable k.
    """
    terms, weights = np.asarray(terms), np.asarray(weights, np.float64)
    if not 1 <= k <= LARGEST_K:
        raise QueryError(f"k is {k}; it must be 1 to {LARGEST_K}.")
    if terms.ndim != 1 or terms.shape != weights.shape:
        raise QueryError(f"terms {terms.shape} and weights {weights.shape} must be two lists of equal length.")
    if not 1 <= terms.size <= LARGEST_QUERY:
        raise QueryError(f"a query has 1 to {LARGEST_QUERY} terms; this one has {terms.size}.")
    if terms.dtype.kind not in "iu":
        raise QueryError(f"terms are whole numbers, not {terms.dtype}.")
    outside = (terms < 0) | (terms >= vocabulary_terms)
    if outside.any():
        raise QueryError(f"term {terms[outside][0]} is outside the vocabulary of {vocabulary_terms} terms.")
    bad = ~np.isfinite(weights) | (weights == 0)
    if bad.any():
        raise QueryError(f"the weight of term {terms[bad][0]} is {weights[bad][0]}; it must be finite and not 0.")
    if np.unique(terms).size != terms.size:
        raise QueryError("a term occurs twice in the query; add up its weights.")
    total = float(np.abs(weights).sum())
    room = (2**31 - 1) / highest_impact(impact_bits) - terms.size
    exponent = np.floor(np.log2(room) - np.log2(total))
    units = np.rint(np.ldexp(weights, int(exponent)))
    units = np.where(units == 0, np.sign(weights), units)  # a term counts, however light
    return Query(terms.astype(np.int32), units.astype(np.int32), float(2.0**-exponent))
