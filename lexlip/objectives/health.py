"""What is worth watching beside the losses: does matching work, and how many terms carry the vectors.

Shapes: N images, B captions, X vector width.
"""

import torch
from torch import Tensor

from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import normalised
from lexlip.objectives.views import Views


@torch.no_grad()
def health(views: Views) -> dict[str, Tensor]:
    """Figures from the vectors that the step's objectives have computed; nothing is computed for them alone.

    Returns:
        in_batch_recall: share of this worker's captions whose image scores highest among this worker's images.
        image_terms, text_terms: mean number of terms above zero, of lexicon models.
    """
    computed = vars(views)
    figures: dict[str, Tensor] = {}
    if "image_vectors_NX" in computed and "text_vectors_BX" in computed:
        scores_BN = normalised(views.text_vectors_BX) @ normalised(views.image_vectors_NX).T
        best_B = scores_BN.argmax(dim=1)
        figures["in_batch_recall"] = (views.batch.image_keys_N[best_B] == views.batch.caption_keys_B).float().mean()
    if isinstance(views.model, LexLIP):
        for side, pooled in (("image", "image_pooled_NV"), ("text", "text_pooled_BV")):
            if pooled in computed:
                figures[f"{side}_terms"] = (computed[pooled] > 0).sum(dim=1).float().mean()
    return figures
