"""Momentum lexicon-contrastive learning; LexLIP (arXiv 2302.02908), section 3.3, after MoCo.

Shapes: N images, B captions, K keys of the batch over all workers, Q queue entries, X vector width.

A slowly moving copy of the model makes keys; queues keep the keys of past batches as further negatives. Each query's
positive is the momentum key of the other modality. Queue entries of the query's own image are left out, so that a queue
may span epochs.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import NO_SCORE, info_nce_sum, scores
from lexlip.objectives.gathering import gather_keys, part_of_mean
from lexlip.objectives.key_queue import KeyQueue
from lexlip.objectives.row_parts import in_parts
from lexlip.objectives.views import Batch, Views, normalised


@dataclass(frozen=True)
class MomentumSettings:
    """The momentum encoder and its queues.

    Attributes:
        decay: share of the old weights kept at each step.
        queue: keys kept of each modality.
        key_terms: heaviest entries kept of each key of a lexicon model; the short keys of a dense one are kept whole.
    """

    decay: float = 0.99
    queue: int = 11_520
    key_terms: int = 256


class MomentumEncoder(nn.Module):
    """A moving average of a model, and the queues of its past keys; no gradient reaches it."""

    def __init__(self, model: LexLIP | DenseCLIP, settings: MomentumSettings, width: int) -> None:
        super().__init__()
        self.decay = settings.decay
        self.average = copy.deepcopy(model).requires_grad_(False)
        terms = width
        if isinstance(self.average, LexLIP):
            del self.average.decoder  # only masked-LM objectives use it
            terms = min(settings.key_terms, width)
        self.image_queue = KeyQueue(settings.queue, terms, width)
        self.text_queue = KeyQueue(settings.queue, terms, width)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Moves the average towards `model`; buffers are taken over."""
        current = dict(model.named_parameters())
        for name, average in self.average.named_parameters():
            average.lerp_(current[name].detach(), 1.0 - self.decay)
        buffers = dict(model.named_buffers())
        for name, buffer in self.average.named_buffers():
            buffer.copy_(buffers[name])

    @torch.no_grad()
    def keys(self, batch: Batch, rows_at_once: int | None = None) -> "Keys":
        """The keys of a batch over all workers, beside the queues as they are."""
        images_NX = in_parts(self.average.image_vectors, rows_at_once, batch.pixels_N3SS)
        texts_BX = in_parts(self.average.text_vectors, rows_at_once, batch.token_ids_BL)
        return Keys(
            images_KX=gather_keys(normalised(images_NX)),
            image_keys_K=gather_keys(batch.image_keys_N),
            texts_KX=gather_keys(normalised(texts_BX)),
            text_keys_K=gather_keys(batch.caption_keys_B),
            image_queue=self.image_queue,
            text_queue=self.text_queue,
        )

    def remember(self, keys: "Keys") -> None:
        """Puts the keys of a batch into the queues; call it once the step's loss is done with."""
        self.image_queue.push(keys.images_KX, keys.image_keys_K)
        self.text_queue.push(keys.texts_KX, keys.text_keys_K)


@dataclass(frozen=True)
class Keys:
    """Unit-length momentum keys of one batch over all workers, what they belong to, and the queues."""

    images_KX: Tensor
    image_keys_K: Tensor
    texts_KX: Tensor
    text_keys_K: Tensor
    image_queue: KeyQueue
    text_queue: KeyQueue


def momentum_loss(
    queries_X: Tensor,
    query_keys: Tensor,
    keys_KX: Tensor,
    key_keys_K: Tensor,
    queue: KeyQueue,
    temperature: Tensor | float,
) -> Tensor:
    """InfoNCE of one direction: queries against the batch's momentum keys and the queue.

    Args:
        queries_X: this worker's unit-length vectors, one a row.
        query_keys: what image each query belongs to.
        keys_KX, key_keys_K: momentum keys of the other modality and their images.
        queue: past keys of that modality.
        temperature: divides the scores.

    Returns:
        This worker's part; the mean over workers is the mean over all positive pairs.
    """
    queue_scores = queue.scores(queries_X) / temperature
    queue_scores = queue_scores.masked_fill(queue.unusable(query_keys), NO_SCORE)
    all_scores = torch.cat((scores(queries_X, keys_KX, temperature), queue_scores), dim=1)
    positives = query_keys[:, None] == key_keys_K[None, :]
    none = torch.zeros_like(queue_scores, dtype=torch.bool)
    return part_of_mean(info_nce_sum(all_scores, torch.cat((positives, none), dim=1)), positives.sum())


@dataclass(frozen=True)
class MomentumContrastive:
    """Images against momentum keys of captions and the reverse.

    Attributes:
        weight: of the loss.
        temperature: fixed, for lexicon models; the dense baseline learns its own.
    """

    weight: float = 1.0
    temperature: float = 0.05

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"momentum_contrastive": scalar}."""
        if views.keys is None:
            raise ValueError("a phase with MomentumContrastive needs MomentumSettings")
        model, batch, keys = views.model, views.batch, views.keys
        temperature = model.temperature() if isinstance(model, DenseCLIP) else self.temperature
        image_to_text = momentum_loss(
            views.image_unit_vectors_NX,
            batch.image_keys_N,
            keys.texts_KX,
            keys.text_keys_K,
            keys.text_queue,
            temperature,
        )
        text_to_image = momentum_loss(
            views.text_unit_vectors_BX,
            batch.caption_keys_B,
            keys.images_KX,
            keys.image_keys_K,
            keys.image_queue,
            temperature,
        )
        return {"momentum_contrastive": self.weight * 0.5 * (image_to_text + text_to_image)}
