"""Contrastive learning of vectors that are cut to a few terms, beside whole ones.

An index keeps a few terms of an image, and a query has fewer still. A model that only ever compared whole vectors
spreads its evidence over all of them and loses much recall when they are cut. Comparing the same batch cut to several
numbers of terms as well, each scaled to unit length, puts what matters first (after Matryoshka learning,
Kusupati et al. 2022, with terms for dimensions). The towers run once; a cut costs two selections and a product. Whole
vectors keep a loss of their own in every step, so that they lose nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.objectives.contrastive import contrastive_loss
from lexlip.objectives.term_cut import USUAL_CUTS, TermCut
from lexlip.objectives.views import Views


@dataclass(frozen=True)
class CutContrastive:
    """In-batch contrastive learning at each of several cuts; for lexicon models.

    Attributes:
        cuts: name those that will be indexed and asked.
        weight: of the mean over the cuts.
        temperature: divides the scores.
    """

    cuts: tuple[TermCut, ...] = USUAL_CUTS
    weight: float = 1.0
    temperature: float = 0.05

    def __post_init__(self) -> None:
        if not self.cuts:
            raise ModelError("CutContrastive: cuts needs at least one TermCut")

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"cut_contrastive": scalar}."""
        batch = views.batch
        losses = []
        for cut in self.cuts:
            images_NV, texts_BV = views.cut_unit_vectors(cut)
            losses.append(
                contrastive_loss(images_NV, batch.image_keys_N, texts_BV, batch.caption_keys_B, self.temperature)
            )
        return {"cut_contrastive": self.weight * torch.stack(losses).mean()}
