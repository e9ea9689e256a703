"""What quantisation costs: how much of the exact top 10 the impacts keep, on a sample of the documents of a shard."""

import numpy as np

_DOCUMENTS = 5_000
_QUERIES = 50
_QUERY_TERMS = 8
_DEPTH = 10


def recall_of_impacts(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, impacts: np.ndarray, vocabulary_terms: int
) -> float:
    """Mean recall@10 of impacts against weights, over documents that ask for others with their heaviest terms.

    Args:
        starts: [documents + 1] int64, where a document begins in the other arrays.
        terms: [postings] int32.
        weights: [postings] float32.
        impacts: [postings] uint8.
        vocabulary_terms: size of the vocabulary.
    """
    documents = np.unique(np.linspace(0, starts.size - 2, min(_DOCUMENTS, starts.size - 1)).astype(np.int64))
    lengths = starts[documents + 1] - starts[documents]
    sample_starts = np.concatenate([[0], np.cumsum(lengths)])
    postings = np.arange(sample_starts[-1]) + np.repeat(starts[documents] - sample_starts[:-1], lengths)
    terms, weights, impacts = terms[postings], weights[postings].astype(np.float64), impacts[postings]
    recalls = []
    for asker in np.unique(np.linspace(0, documents.size - 1, min(_QUERIES, documents.size)).astype(np.int64)):
        own = slice(sample_starts[asker], sample_starts[asker + 1])
        heaviest = np.argsort(-weights[own], kind="stable")[:_QUERY_TERMS]
        query = np.zeros(vocabulary_terms)
        query[terms[own][heaviest]] = weights[own][heaviest]
        tops = []
        for values in (weights, impacts):
            running = np.concatenate([[0.0], np.cumsum(query[terms] * values)])
            scores = running[sample_starts[1:]] - running[sample_starts[:-1]]
            tops.append(np.argsort(-scores, kind="stable")[:_DEPTH])
        recalls.append(np.isin(tops[0], tops[1]).mean())
    return float(np.mean(recalls))
