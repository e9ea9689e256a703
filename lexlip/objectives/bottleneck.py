"""Lexicon-bottlenecked masked language modelling; LexLIP (arXiv 2302.02908), section 3.2, after LexMAE.

Shapes: B captions, L tokens, D width, V vocabulary.

The weakened decoder fills a heavily masked caption with the help of one vector: the lexicon vector of the caption, or
of its image, as a mixture of word embeddings. That makes the vector name the words that matter.
"""

from dataclasses import dataclass

from torch import Tensor

from lexlip.model.decoder import bottleneck
from lexlip.objectives.masked_lm import masked_lm_loss
from lexlip.objectives.row_parts import in_parts
from lexlip.objectives.views import Views


def bottleneck_loss(views: Views, pooled_BV: Tensor) -> Tensor:
    """Masked-LM loss of the decoder that sees `pooled_BV` through the bottleneck."""
    model, batch = views.lexicon_model, views.batch
    bottleneck_BD = bottleneck(pooled_BV, model.text_tower.word_embeddings)
    states_BLD = in_parts(model.decode_masked, views.rows_at_once, bottleneck_BD, batch.decoder_masked_ids_BL)
    return masked_lm_loss(model.text_head, states_BLD, batch.decoder_labels_BL, views.rows_at_once)


@dataclass(frozen=True)
class TextBottleneck:
    """The lightly masked caption's own lexicon vector helps to fill the heavily masked one."""

    weight: float = 1.0

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"text_bottleneck": scalar}."""
        return {"text_bottleneck": self.weight * bottleneck_loss(views, views.masked_pooled_BV)}


@dataclass(frozen=True)
class ImageBottleneck:
    """The image's lexicon vector helps to fill its heavily masked caption."""

    weight: float = 1.0

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"image_bottleneck": scalar}."""
        return {"image_bottleneck": self.weight * bottleneck_loss(views, views.image_pooled_BV)}
