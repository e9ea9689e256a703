"""The caption field: what people wrote about a document, as posting lists beside those of its lexicon vector.

BM25 is a sum over the words of a query of idf x saturation, where the saturation of a word in a document is

    frequency / (frequency + k1 x (1 - b + b x length / mean length))

above 0 and below 1. It depends on the document alone, so it is indexed like a weight; idf depends on the corpus and
goes into the query (`lexlip.index.fusion`). A caption's terms are the pieces of the vocabulary, counted on from its
size, so that one posting-list engine searches both fields at once.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CaptionField:
    """How captions became postings; recorded in the manifest, and kept by documents that are added later.

    Attributes:
        first_term: the id of the vocabulary's first term in captions: the size of the vocabulary.
        mean_length: pieces of a document's captions, on average, when the index was built.
        full_weight: the posting weight of saturation 1. Impacts have one scale for both fields: with the largest
            lexicon weight here, both use all of it.
        k1: how slowly repetition saturates.
        b: how much long captions count against a document, 0 to 1.
    """

    first_term: int
    mean_length: float
    full_weight: float
    k1: float = 1.2
    b: float = 0.75

    def saturations(self, frequencies: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """[N] float64 in (0, 1): BM25 without idf, for [N] frequencies of terms in documents of [N] pieces."""
        return frequencies / (frequencies + self.k1 * (1 - self.b + self.b * lengths / self.mean_length))


def posting_terms_of(vocabulary_terms: int, captions: CaptionField | None) -> int:
    """How many ids posting lists may have: one a term of the vocabulary, and another one with a caption field."""
    return vocabulary_terms if captions is None else captions.first_term + vocabulary_terms
