"""Training through the cut that indexing makes: a random number of heaviest terms is kept in each batch.

Shapes: B rows, V vocabulary.

An index keeps a few terms of an image, and a query has fewer still. A model that only ever saw whole vectors spreads
its evidence over all of them and loses much recall when they are cut; one that is trained through cuts of random sizes
puts what matters first and keeps it (after Matryoshka learning, Kusupati et al. 2022, with terms for dimensions). What
is left is scaled to unit length after the cut, as in use, and the gradient flows through kept terms only.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lexlip.errors import ModelError

ALL_TERMS = 0


@dataclass(frozen=True)
class KeptTerms:
    """How many terms one batch keeps of each vector; 0 keeps all."""

    image: int = ALL_TERMS
    text: int = ALL_TERMS


@dataclass(frozen=True)
class TermCut:
    """Numbers of terms to choose from; 0 keeps all.

    Attributes:
        image_terms: of an image. Name the numbers that will be indexed, and "all", so that whole vectors stay good.
        text_terms: of a text.
    """

    image_terms: tuple[int, ...] = (32, 64, 128, ALL_TERMS)
    text_terms: tuple[int, ...] = (16, 32, 64, ALL_TERMS)

    def __post_init__(self) -> None:
        for name in ("image_terms", "text_terms"):
            counts = getattr(self, name)
            if not counts or min(counts) < 0:
                raise ModelError(f"TermCut: {name} needs numbers of terms, 0 for all, not {counts}")

    def draw(self, rng: np.random.Generator) -> KeptTerms:
        """One batch's choice; each number is as likely as the others of its side."""
        return KeptTerms(int(rng.choice(self.image_terms)), int(rng.choice(self.text_terms)))


def heaviest(weights_BV: Tensor, terms: int) -> Tensor:
    """[B, V] with all but the `terms` heaviest of each row set to zero; the gradient flows through these alone.

    Args:
        weights_BV: not negative.
        terms: to keep; 0 keeps all.
    """
    if terms == ALL_TERMS or terms >= weights_BV.shape[1]:
        return weights_BV
    with torch.no_grad():
        kept_BK = weights_BV.topk(terms, dim=1, sorted=False).indices
        kept_BV = torch.zeros_like(weights_BV, dtype=torch.bool).scatter_(1, kept_BK, True)
    return weights_BV.masked_fill(~kept_BV, 0.0)
