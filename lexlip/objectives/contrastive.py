"""In-batch contrastive learning between images and captions, over all workers.

Shapes: N images and B captions of this worker; K keys of all workers; Q queries; X vector width.

Each worker scores its own queries against the keys of all workers. Gradients cross workers, so that several workers
give exactly the loss and the gradient of one worker with the whole batch, once data-parallel training averages the
workers' gradients.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lexlip.model.clip import DenseCLIP
from lexlip.objectives.gathering import gather_keys, gather_rows, worker_count
from lexlip.objectives.views import Views

# Stands for minus infinity in scores; finite, so that a query without any negative gets a zero gradient and not NaN.
NO_SCORE = torch.finfo(torch.float32).min / 4


def scores(queries_QX: Tensor, keys_KX: Tensor, temperature: Tensor | float) -> Tensor:
    """[Q, K] products divided by the temperature; in single precision also where the towers run in half precision.

    A temperature of 0.05 stretches products to 0..20, where half precision is a matter of tenths.
    """
    with torch.autocast(queries_QX.device.type, enabled=False):
        return queries_QX @ keys_KX.T / temperature


def info_nce_sum(scores_QK: Tensor, positives_QK: Tensor) -> Tensor:
    """Sum over positive pairs of -log(e^positive / (e^positive + sum of e^negative)).

    A query's other positives are no negatives. With one positive a query this is the sum of cross-entropies.

    Args:
        scores_QK: scores divided by the temperature.
        positives_QK: True where query and key belong to the same image.
    """
    negatives_Q1 = scores_QK.masked_fill(positives_QK, NO_SCORE).logsumexp(dim=1, keepdim=True)
    # log(e^p + e^n) - p, written so that no exponential overflows.
    return functional.softplus(negatives_Q1 - scores_QK)[positives_QK].sum()


def contrastive_loss(
    image_vectors_NX: Tensor,
    image_keys_N: Tensor,
    text_vectors_BX: Tensor,
    text_keys_B: Tensor,
    temperature: Tensor | float,
) -> Tensor:
    """Mean of image-to-text and text-to-image InfoNCE, each averaged over the positive pairs of all workers.

    Args:
        image_vectors_NX, text_vectors_BX: this worker's vectors of unit length.
        image_keys_N, text_keys_B: equal where image and caption belong together.
        temperature: divides the scores.

    Returns:
        This worker's part; the mean over workers is the loss of the whole batch.
    """
    all_images_KX, all_texts_KX = gather_rows(image_vectors_NX), gather_rows(text_vectors_BX)
    all_image_keys_K, all_text_keys_K = gather_keys(image_keys_N), gather_keys(text_keys_B)
    parts = (
        (image_vectors_NX, image_keys_N, all_texts_KX, all_text_keys_K),
        (text_vectors_BX, text_keys_B, all_images_KX, all_image_keys_K),
    )
    loss = image_vectors_NX.new_zeros(())
    # Both directions have the same positive pairs in all, so one count serves.
    pairs = (all_image_keys_K[:, None] == all_text_keys_K[None, :]).sum()
    for queries_QX, query_keys_Q, keys_KX, key_keys_K in parts:
        positives_QK = query_keys_Q[:, None] == key_keys_K[None, :]
        loss = loss + info_nce_sum(scores(queries_QX, keys_KX, temperature), positives_QK)
    return 0.5 * loss * worker_count() / pairs


@dataclass(frozen=True)
class InBatchContrastive:
    """Images and captions of one batch against each other.

    Attributes:
        weight: of the loss.
        temperature: fixed, for lexicon models; the dense baseline learns its own.
    """

    weight: float = 1.0
    temperature: float = 0.05

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"contrastive": scalar}."""
        model, batch = views.model, views.batch
        temperature = model.temperature() if isinstance(model, DenseCLIP) else self.temperature
        loss = contrastive_loss(
            views.image_unit_vectors_NX,
            batch.image_keys_N,
            views.text_unit_vectors_BX,
            batch.caption_keys_B,
            temperature,
        )
        return {"contrastive": self.weight * loss}
