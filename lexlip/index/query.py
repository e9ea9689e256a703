"""What a query must be, said in words."""

import numpy as np

from lexlip.errors import QueryError

LARGEST_K = 1000
LARGEST_QUERY = 512


def query_arrays(terms: np.ndarray, weights: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Fresh [n] int64 terms and [n] float64 weights for the kernels.

    Raises:
        QueryError: an unsuitable k, type or number of terms. What is wrong with single terms is found by the kernels.
    """
    terms, weights = np.asarray(terms), np.asarray(weights)
    if not 1 <= k <= LARGEST_K:
        raise QueryError(f"k is {k}; it must be 1 to {LARGEST_K}.")
    if terms.ndim != 1 or terms.shape != weights.shape:
        raise QueryError(f"terms {terms.shape} and weights {weights.shape} must be two lists of equal length.")
    if not 1 <= terms.size <= LARGEST_QUERY:
        raise QueryError(f"a query has 1 to {LARGEST_QUERY} terms; this one has {terms.size}.")
    if terms.dtype.kind not in "iu":
        raise QueryError(f"terms are whole numbers, not {terms.dtype}.")
    return np.array(terms, np.int64), np.array(weights, np.float64)


def explain_refusal(terms: np.ndarray, weights: np.ndarray, vocabulary_terms: int) -> QueryError:
    """The error for a query that the kernels refused.

    Args:
        terms: [n] int64.
        weights: [n] float64.
        vocabulary_terms: size of the vocabulary.
    """
    outside = (terms < 0) | (terms >= vocabulary_terms)
    if outside.any():
        return QueryError(f"term {terms[outside][0]} is outside the vocabulary of {vocabulary_terms} terms.")
    bad = ~np.isfinite(weights) | (weights == 0)
    if bad.any():
        return QueryError(f"the weight of term {terms[bad][0]} is {weights[bad][0]}; it must be finite and not 0.")
    values, counts = np.unique(terms, return_counts=True)
    if counts.max() > 1:
        return QueryError(f"term {values[np.argmax(counts)]} occurs twice in the query; add up its weights.")
    if np.isfinite(np.abs(weights).sum()):
        return QueryError("the query weights are too small to add up; multiply them all by the same number.")
    return QueryError("the query weights are too large: their sum is not finite.")
