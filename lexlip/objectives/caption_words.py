"""Caption words as targets: what people say of a picture is what its vector should name, and a caption's its own words.

Shapes: N images, C captions an image, B = N * C captions, R rows of either side, L text tokens, V vocabulary.

A distribution over the terms of an image's captions, rare terms weighing more, is matched by the softmax of the image's
pooled logits (the distribution that the bottleneck uses). It needs no text tower, so an epoch of it costs a fraction of
a contrastive one, and it gives the image head a human vocabulary before contrastive learning starts. Beside contrastive
learning, of both sides, it keeps heads from taking rare near-synonyms for codes of their own, which find as well and
explain nothing.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lexlip.objectives.views import Views
from lexlip.settings_text import ADDED_LATER

LEAST_LOG_SHARE = -100.0  # far below what any word of a caption gets


def caption_terms(token_ids_BL: Tensor, captions: int, left_out_V: Tensor) -> Tensor:
    """[N, V] rows of sum 1: share of each term in the captions of each image, weighted by its rarity in the batch.

    Args:
        token_ids_BL: captions, `captions` of an image in a row.
        captions: C.
        left_out_V: True at terms that have no share.
    """
    rows, vocabulary = token_ids_BL.shape[0], left_out_V.shape[0]
    present_BV = torch.zeros(rows, vocabulary, device=token_ids_BL.device)
    present_BV.scatter_(1, token_ids_BL, 1.0)
    present_BV.masked_fill_(left_out_V, 0.0)
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
        batch, special_V = views.batch, views.lexicon_model.special_V
        target_NV = caption_terms(batch.token_ids_BL, batch.captions_per_image, special_V)
        return {"caption_words": self.weight * words_loss(views.image_pooled_NV, target_NV, special_V, self.scale)}


@dataclass(frozen=True)
class SaidWords:
    """Holds an image to the words of its captions, and a caption to its own, beside contrastive learning.

    Terms that a vector lacks and its target does not name count in the softmax and get no gradient: each has next to no
    share, and thousands of them would make the backward pass of the heads a dense one.

    Attributes:
        weight: of each side's cross-entropy when the phase begins. Words are learned faster than matching.
        last_weight: at its end, reached in a straight line: less, so that sparsity and matching decide in the end.
        scale: multiplies the pooled logits before the softmax; gentler than where words are all there is to learn.
        telling: leave little words and punctuation out of targets and softmax. Every caption has them, so a picture
            would name them too, in places that words need which tell it from others.
    """

    weight: float = 1.0
    last_weight: float = 0.2
    scale: float = 1.0
    telling: bool = field(default=False, metadata=ADDED_LATER)

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"image_words": scalar, "text_words": scalar}."""
        batch, model = views.batch, views.lexicon_model
        left_out_V = model.special_V | model.little_V if self.telling else model.special_V
        weight = self.weight + views.progress * (self.last_weight - self.weight)
        sides = {
            "image_words": (views.image_pooled_NV, batch.captions_per_image),
            "text_words": (views.text_pooled_BV, 1),
        }
        parts = {}
        for name, (pooled_RV, captions_each) in sides.items():
            target_RV = caption_terms(batch.token_ids_BL, captions_each, left_out_V)
            absent_RV = (pooled_RV <= 0) & (target_RV == 0)
            learning_RV = torch.where(absent_RV, pooled_RV.detach(), pooled_RV)
            parts[name] = weight * words_loss(learning_RV, target_RV, left_out_V, self.scale)
        return parts


def words_loss(pooled_RV: Tensor, target_RV: Tensor, left_out_V: Tensor, scale: float) -> Tensor:
    """Mean over rows of the cross-entropy between a target and the softmax of scaled pooled logits.

    Args:
        pooled_RV: of images or captions.
        target_RV: rows of sum 1, or 0 where there is nothing to learn.
        left_out_V: True at terms that take no part.
        scale: multiplies the pooled logits.
    """
    words_RV = pooled_RV.float().masked_fill(left_out_V, torch.finfo(torch.float32).min)
    # They have no share in a target, and zero times minus infinity would not be zero.
    log_shares_RV = torch.log_softmax(scale * words_RV, dim=1).clamp(min=LEAST_LOG_SHARE)
    return -(target_RV * log_shares_RV).sum(dim=1).mean()
