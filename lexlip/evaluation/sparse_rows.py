"""Many lexicon vectors as three arrays: a million Python objects would take more memory than their weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexlip.index.pruning import keep_top_terms
from lexlip.index.pursuit import keep_terms_by_pursuit
from lexlip.index.scaling import scale_by_spread
from lexlip.index.term_covariance import TermCovariance
from lexlip.tables import LexiconVector


@dataclass(frozen=True)
class SparseRows:
    """Row i has the terms `terms[starts[i]:starts[i + 1]]`.

    Attributes:
        starts: [N + 1] int64.
        terms: [postings] int32, ascending inside a row.
        weights: [postings] float32.
    """

    starts: np.ndarray
    terms: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of_vectors(cls, vectors: Sequence[LexiconVector]) -> "SparseRows":
        """Copies vectors."""
        starts = np.zeros(len(vectors) + 1, np.int64)
        np.cumsum([len(vector) for vector in vectors], out=starts[1:])
        terms = np.concatenate([np.empty(0, np.int32), *(vector.terms for vector in vectors)])
        weights = np.concatenate([np.empty(0, np.float32), *(vector.weights for vector in vectors)])
        return cls(starts, terms.astype(np.int32, copy=False), weights.astype(np.float32, copy=False))

    @classmethod
    def concatenate(cls, parts: Sequence["SparseRows"]) -> "SparseRows":
        """The rows of all parts, in order."""
        lengths = [np.diff(part.starts) for part in parts]
        starts = np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))]).astype(np.int64)
        terms = np.concatenate([np.empty(0, np.int32), *(part.terms for part in parts)])
        weights = np.concatenate([np.empty(0, np.float32), *(part.weights for part in parts)])
        return cls(starts, terms, weights)

    @property
    def longest(self) -> int:
        """Most terms of a row."""
        return int(np.diff(self.starts).max(initial=0))

    @property
    def mean_terms(self) -> float:
        """Mean terms of a row."""
        return float(np.diff(self.starts).mean()) if len(self) else 0.0

    def row(self, number: int) -> LexiconVector:
        """One row, not copied."""
        here = slice(self.starts[number], self.starts[number + 1])
        return LexiconVector(self.terms[here], self.weights[here])

    def between(self, first: int, last: int) -> "SparseRows":
        """Rows [first, last), terms and weights not copied."""
        here = slice(self.starts[first], self.starts[last])
        return SparseRows(self.starts[first : last + 1] - self.starts[first], self.terms[here], self.weights[here])

    def cut(self, top_terms: int | None, other_side: TermCovariance | None = None) -> "SparseRows":
        """A few terms of every row, scaled anew; without either argument all stays as it is.

        Args:
            top_terms: how many at most; None keeps all.
            other_side: terms are kept by pursuit against it where it is given, and rows scaled by how their scores with
                it spread. Otherwise the heaviest terms are kept, and rows get unit length.
        """
        if other_side is None:
            if top_terms is None:
                return self
            return SparseRows(*keep_top_terms(self.starts, self.terms, self.weights, top_terms)).scaled_to_unit_length()
        starts, terms, weights = keep_terms_by_pursuit(self.starts, self.terms, self.weights, top_terms, other_side)
        return SparseRows(starts, terms, scale_by_spread(starts, terms, weights, other_side))

    def scaled_to_unit_length(self) -> "SparseRows":
        """The same directions; a row without terms stays one."""
        nothing = TermCovariance.of_nothing(int(self.terms.max(initial=-1)) + 1)
        return SparseRows(self.starts, self.terms, scale_by_spread(self.starts, self.terms, self.weights, nothing))
