"""How far lexicon vectors of the same things moved from one model to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexlip.tables import LexiconVector

HEAVIEST = 10  # terms of a picture that a person reads


@dataclass(frozen=True)
class Drift:
    """Changes from N vectors to N others of the same things, over V terms.

    Attributes:
        cosines: [N] float64, cosine similarity of each pair; 0 when one of it is empty.
        kept_terms: [N] float64, share of the heaviest terms before that are among the heaviest after.
        mean_change: [V] float64, mean change of each term's weight.
    """

    cosines: np.ndarray
    kept_terms: np.ndarray
    mean_change: np.ndarray


def measure_drift(before: Sequence[LexiconVector], after: Sequence[LexiconVector], vocabulary_terms: int) -> Drift:
    """Compares vectors pair by pair."""
    cosines, kept = np.zeros(len(before)), np.zeros(len(before))
    change = np.zeros(vocabulary_terms)
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        _, in_old, in_new = np.intersect1d(old.terms, new.terms, assume_unique=True, return_indices=True)
        product = float(old.weights[in_old].astype(np.float64) @ new.weights[in_new])
        lengths = float(np.linalg.norm(old.weights)) * float(np.linalg.norm(new.weights))
        cosines[at] = product / lengths if lengths else 0.0
        heaviest = old.top(HEAVIEST).terms
        kept[at] = np.isin(heaviest, new.top(HEAVIEST).terms).mean() if heaviest.size else 1.0
        change[old.terms] -= old.weights
        change[new.terms] += new.weights
    return Drift(cosines, kept, change / max(len(before), 1))
