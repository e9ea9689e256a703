"""Vectors cut to a few terms during training, as an index and its queries will hold them.

Shapes: B rows, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lexlip.errors import ModelError


@dataclass(frozen=True)
class TermCut:
    """How many terms are kept, those that are most worth their place."""

    image: int
    text: int

    def __post_init__(self) -> None:
        if min(self.image, self.text) < 1:
            raise ModelError(f"{self}: at least one term has to be kept of images and of texts")


# What is worth indexing and asking: nearly everything, half, and the smallest index that still finds.
USUAL_CUTS = (TermCut(64, 32), TermCut(32, 16), TermCut(16, 8))


def most_worthwhile(weights_BV: Tensor, terms: int, worth_V: Tensor) -> Tensor:
    """[B, V] with all but the `terms` of the highest weight x worth of each row set to zero.

    The gradient flows through what is kept alone.

    Args:
        weights_BV: not negative.
        terms: to keep.
        worth_V: positive.
    """
    if terms >= weights_BV.shape[1]:
        return weights_BV
    with torch.no_grad():
        kept_BK = (weights_BV * worth_V).topk(terms, dim=1, sorted=False).indices
        kept_BV = torch.zeros_like(weights_BV, dtype=torch.bool).scatter_(1, kept_BK, True)
    return weights_BV.masked_fill(~kept_BV, 0.0)
