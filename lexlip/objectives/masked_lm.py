"""Masked language modelling on the text encoder, through the lexicon head; LexLIP (arXiv 2302.02908), section 3.2.

Shapes: B captions, L tokens, D width, V vocabulary, M masked positions.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from lexlip.model.lexicon_head import LexiconHead
from lexlip.objectives.gathering import part_of_mean
from lexlip.objectives.views import Views

NOT_MASKED = -100


def masked_lm_loss(head: LexiconHead, states_BLD: Tensor, labels_BL: Tensor) -> Tensor:
    """Mean cross-entropy over the masked positions of all workers; logits are computed at those M positions only.

    Args:
        head: gives logits over the vocabulary.
        states_BLD: states to predict from.
        labels_BL: the right term where masked, `NOT_MASKED` elsewhere.

    Returns:
        This worker's part; the mean over workers is the loss of the whole batch.
    """
    chosen_BL = labels_BL != NOT_MASKED
    logits_MV = head.logits(states_BLD[chosen_BL])
    loss = functional.cross_entropy(logits_MV.float(), labels_BL[chosen_BL].long(), reduction="sum")
    return part_of_mean(loss, chosen_BL.sum())


@dataclass(frozen=True)
class SelfMaskedLM:
    """Fill the masks of a lightly masked caption from its own context."""

    weight: float = 1.0

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"self_masked_lm": scalar}."""
        loss = masked_lm_loss(views.lexicon_model.text_head, views.masked_states_BLD, views.batch.encoder_labels_BL)
        return {"self_masked_lm": self.weight * loss}
