"""Contrastive learning of vectors that are cut to a few terms, beside whole ones.

Shapes: N images, B captions or rows, V vocabulary.

An index keeps a few terms of an image, and a query has fewer still. A model that only ever compared whole vectors
spreads its evidence over all of them and loses much recall when they are cut. Comparing the same batch cut to several
numbers of terms as well, each scaled to unit length as in use, puts what matters first (after Matryoshka learning,
Kusupati et al. 2022, with terms for dimensions). The towers run once; a cut costs two selections and a product. Whole
vectors keep a loss of their own in every step, so that they lose nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import contrastive_loss
from lexlip.objectives.views import Views, normalised


@dataclass(frozen=True)
class TermCut:
    """How many terms are kept, those that are most worth their place."""

    image: int
    text: int

    def __post_init__(self) -> None:
        if min(self.image, self.text) < 1:
            raise ModelError(f"{self}: at least one term has to be kept of images and of texts")


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


@dataclass(frozen=True)
class CutContrastive:
    """In-batch contrastive learning at each of several cuts; for lexicon models.

    Attributes:
        cuts: name those that will be indexed and asked.
        weight: of the mean over the cuts.
        temperature: divides the scores.
    """

    cuts: tuple[TermCut, ...] = (TermCut(64, 32), TermCut(32, 16), TermCut(16, 8))
    weight: float = 1.0
    temperature: float = 0.05

    def __post_init__(self) -> None:
        if not self.cuts:
            raise ModelError("CutContrastive: cuts needs at least one TermCut")

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"cut_contrastive": scalar}."""
        if not isinstance(views.model, LexLIP):
            raise ModelError(f"CutContrastive cuts lexicon vectors, which a {views.model.kind!r} model has not")
        batch, worth = views.batch, views.model.term_worth
        images_NV, texts_BV = views.image_vectors_NX, views.text_vectors_BX
        losses = [
            contrastive_loss(
                normalised(most_worthwhile(images_NV, cut.image, worth.of_image_terms())),
                batch.image_keys_N,
                normalised(most_worthwhile(texts_BV, cut.text, worth.of_text_terms())),
                batch.caption_keys_B,
                self.temperature,
            )
            for cut in self.cuts
        ]
        return {"cut_contrastive": self.weight * torch.stack(losses).mean()}
