"""Search by adding up every posting of the query: the plain reference that the engine is compared to."""

import numpy as np


def exhaustive_search(
    starts: np.ndarray,
    terms: np.ndarray,
    impacts: np.ndarray,
    query_terms: np.ndarray,
    query_weights: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best documents, ties by lower position; those with a score of 0 or less are no hits.

    Args:
        starts: [documents + 1] int64, where a document begins in `terms` and `impacts`.
        terms: [postings] int32.
        impacts: [postings] uint8.
        query_terms: [n] distinct term ids.
        query_weights: [n] whole numbers.
        k: how many at most.

    Returns:
        positions [<= k] int64 and scores [<= k] int64 in query units x impacts, best first.
    """
    weight_of_term = np.zeros(max(int(terms.max(initial=0)), int(query_terms.max(initial=0))) + 1, np.int64)
    weight_of_term[query_terms] = query_weights
    running = np.concatenate([[0], np.cumsum(weight_of_term[terms] * impacts)])
    scores = running[starts[1:]] - running[starts[:-1]]
    order = np.lexsort((np.arange(scores.size), -scores))
    best = order[: min(k, int((scores > 0).sum()))]
    return best, scores[best]
