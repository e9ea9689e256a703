"""Masked language modelling on the text encoder, through the lexicon head; LexLIP (arXiv 2302.02908), section 3.2.

Shapes: B captions, L tokens, D width, V vocabulary, M masked positions.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from lexlip.model.lexicon_head import LexiconHead
from lexlip.objectives.gathering import part_of_mean
from lexlip.objectives.row_parts import in_parts
from lexlip.objectives.views import Views

NOT_MASKED = -100


def masked_lm_loss(head: LexiconHead, states_BLD: Tensor, labels_BL: Tensor, rows_at_once: int | None = None) -> Tensor:
    """Mean cross-entropy over the masked positions of all workers; logits are computed at those M positions only.

    Args:
        head: gives logits over the vocabulary.
        states_BLD: states to predict from.
        labels_BL: the right term where masked, `NOT_MASKED` elsewhere.
        rows_at_once: captions whose logits exist at a time; None for all.

    Returns:
        This worker's part; the mean over workers is the loss of the whole batch.
    """

    def summed(states_BLD: Tensor, labels_BL: Tensor) -> Tensor:
        chosen_BL = labels_BL != NOT_MASKED
        logits_MV = head.logits(states_BLD[chosen_BL])
        return functional.cross_entropy(logits_MV.float(), labels_BL[chosen_BL].long(), reduction="sum")[None]

    loss = in_parts(summed, rows_at_once, states_BLD, labels_BL).sum()
    return part_of_mean(loss, (labels_BL != NOT_MASKED).sum())


@dataclass(frozen=True)
class SelfMaskedLM:
    """Fill the masks of a lightly masked caption from its own context."""

    weight: float = 1.0

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"self_masked_lm": scalar}."""
        head, labels_BL = views.lexicon_model.text_head, views.batch.encoder_labels_BL
        loss = masked_lm_loss(head, views.masked_states_BLD, labels_BL, views.rows_at_once)
        return {"self_masked_lm": self.weight * loss}
