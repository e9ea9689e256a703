"""From documents with terms to terms with documents."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import kernel


@kernel
def invert(starts, terms, impacts, order, vocabulary_terms):
    """Turns documents with terms into terms with documents.

    Args:
        starts: [documents + 1] int64, where a document begins in `terms` and `impacts`.
        terms: [postings] int32.
        impacts: [postings] uint8.
        order: [documents] int32, the document stored at each internal number.
        vocabulary_terms: size of the vocabulary.

    Returns:
        list_starts [vocabulary_terms + 1] int64, documents [postings] int32 (internal numbers, ascending inside a
        term), impacts.
    """
    list_starts = np.zeros(vocabulary_terms + 1, np.int64)
    for posting in range(terms.size):
        list_starts[terms[posting] + 1] += 1
    for term in range(vocabulary_terms):
        list_starts[term + 1] += list_starts[term]
    write = list_starts[:-1].copy()
    documents = np.empty(terms.size, np.int32)
    list_impacts = np.empty(terms.size, np.uint8)
    for number in range(order.size):
        row = order[number]
        for posting in range(starts[row], starts[row + 1]):
            term = terms[posting]
            documents[write[term]] = number
            list_impacts[write[term]] = impacts[posting]
            write[term] += 1
    return list_starts, documents, list_impacts
