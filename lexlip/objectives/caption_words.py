"""Caption words as a target for the image's lexicon: what people say of a picture is what its vector should name.

Shapes: N images, C captions an image, B = N * C captions, L text tokens, V vocabulary.

A distribution over the terms of an image's captions, rare terms weighing more, is matched by the softmax of the image's
pooled logits (the distribution that the bottleneck uses). It needs no text tower, so an epoch of it costs a fraction of
a contrastive one, and it gives the image head a human vocabulary before contrastive learning starts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lexlip.objectives.views import Views


def caption_terms(token_ids_BL: Tensor, captions: int, special_V: Tensor) -> Tensor:
    """[N, V] rows of sum 1: share of each term in the captions of each image, weighted by its rarity in the batch.

    Args:
        token_ids_BL: captions, `captions` of an image in a row.
        captions: C.
        special_V: True at terms that are no words.
    """
    rows, vocabulary = token_ids_BL.shape[0], special_V.shape[0]
    present_BV = torch.zeros(rows, vocabulary, device=token_ids_BL.device)
    present_BV.scatter_(1, token_ids_BL, 1.0)
    present_BV.masked_fill_(special_V, 0.0)
    frequency_V = present_BV.sum(dim=0)
    rarity_V = torch.log1p(rows / frequency_V.clamp(min=1.0))
    counts_NV = present_BV.view(-1, captions, vocabulary).sum(dim=1) * rarity_V
    return counts_NV / counts_NV.sum(dim=1, keepdim=True).clamp(min=1e-6)


@dataclass(frozen=True)
class CaptionWords:
    """Cross-entropy between an image's caption words and its pooled logits.

    Attributes:
        weight: of the loss.
        scale: multiplies the pooled logits before the softmax. Logits in the range that log(1 + x) keeps readable (0 to
            about 5) cannot form a sharp distribution over thousands of terms by themselves.
    """

    weight: float = 1.0
    scale: float = 2.0

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"caption_words": scalar}."""
        batch, model = views.batch, views.lexicon_model
        captions = batch.token_ids_BL.shape[0] // batch.pixels_N3SS.shape[0]
        target_NV = caption_terms(batch.token_ids_BL, captions, model.special_V)
        logits_NV = views.image_pooled_NV.float().masked_fill(model.special_V, torch.finfo(torch.float32).min)
        log_shares_NV = torch.log_softmax(self.scale * logits_NV, dim=1)
        return {"caption_words": -self.weight * (target_NV * log_shares_NV.clamp(min=-100.0)).sum(dim=1).mean()}
