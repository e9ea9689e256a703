"""How an index uses its vocabulary: training is known to fail by dead terms, hot lists and empty documents."""

from dataclasses import dataclass

import numpy as np

from lexlip.index.contents import read_contents
from lexlip.index.manifest import read_manifest
from lexlip.storage import Location


@dataclass(frozen=True)
class LexiconHealth:
    """Counts over the live documents of an index; V terms.

    Attributes:
        documents: how many.
        list_lengths: [V] int64, documents that have each term.
        impact_sums: [V] int64.
        empty_documents: documents without any term, which no query finds.
    """

    documents: int
    list_lengths: np.ndarray
    impact_sums: np.ndarray
    empty_documents: int

    @property
    def postings(self) -> int:
        """All postings."""
        return int(self.list_lengths.sum())

    @property
    def postings_per_document(self) -> float:
        """Their mean number."""
        return self.postings / max(self.documents, 1)

    @property
    def effective_terms(self) -> float:
        """The exponential of the entropy of postings over terms: V when all are equally frequent, 1 for only one."""
        if not self.postings:
            return 0.0
        shares = self.list_lengths[self.list_lengths > 0] / self.postings
        return float(np.exp(-(shares * np.log(shares)).sum()))

    def share_of(self, term: int) -> float:
        """The share of documents that have a term."""
        return float(self.list_lengths[term]) / max(self.documents, 1)

    def mean_impact(self, term: int) -> float:
        """Of a term where it occurs."""
        return float(self.impact_sums[term]) / max(int(self.list_lengths[term]), 1)

    def longest_lists(self) -> list[int]:
        """All terms by the length of their lists, longest first, ties by lower term."""
        return np.argsort(-self.list_lengths, kind="stable").tolist()


def measure_health(index: str | Location) -> LexiconHealth:
    """Counts through a whole index, a shard in memory at a time.

    Raises:
        IndexFormatError: no index there, or it is damaged.
    """
    terms = read_manifest(index).vocabulary_terms
    lengths, sums = np.zeros(terms, np.int64), np.zeros(terms, np.int64)
    documents = empty = 0
    for contents in read_contents(index):
        own_terms, own_impacts = contents.live_postings()
        lengths += np.bincount(own_terms, minlength=terms)
        sums += np.bincount(own_terms, weights=own_impacts, minlength=terms).astype(np.int64)
        documents += int(contents.live.sum())
        empty += int((np.diff(contents.starts)[contents.live] == 0).sum())
    return LexiconHealth(documents, lengths, sums, empty)
