"""Learning the table of a query lookup against the image vectors of a finished model, which stay as they are.

Shapes: N images, L text tokens, V vocabulary.

The only parameters are V weights, so an epoch over thousands of images takes seconds on one core. The loss is the
in-batch contrastive one of the model's own training, with one caption an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lexlip.errors import DataError
from lexlip.model.query_lookup import TEXT_TOKENS, QueryLookup, inverse_document_frequency
from lexlip.objectives.contrastive import contrastive_loss
from lexlip.objectives.views import normalised
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

SMALLEST_WEIGHT = 1e-3  # of a term with some weight, so that its logarithm can be learned


@dataclass(frozen=True)
class LookupSettings:
    """How a table is learned.

    Attributes:
        epochs: passes over the images, each with one caption of every image.
        batch: images a step.
        rate: of Adam, on the logarithm of the weights.
        temperature: divides the scores.
        seed: of the order and the choice of captions.
    """

    epochs: int = 10
    batch: int = 256
    rate: float = 0.02
    temperature: float = 0.05
    seed: int = 0


def learn_lookup(
    vocabulary: Vocabulary,
    images: Sequence[LexiconVector],
    captions: Sequence[Sequence[str]],
    settings: LookupSettings | None = None,
) -> tuple[QueryLookup, list[float]]:
    """A table that starts as the inverse document frequency, and the mean loss of each epoch.

    Args:
        vocabulary: of the model that encoded the images.
        images: N vectors, cut and scaled as they will be indexed.
        captions: those of each image; images without any take no part.
        settings: of learning.

    Raises:
        DataError: fewer than two images have captions.
    """
    settings = settings or LookupSettings()
    described = [number for number, own in enumerate(captions) if own]
    if len(described) < 2:
        raise DataError(f"{len(described)} image(s) with captions; a query lookup needs at least two to tell apart")
    every_caption = [caption for own in captions for caption in own]
    start_V = torch.from_numpy(inverse_document_frequency(vocabulary, every_caption))
    used_V = start_V > 0
    log_weights_V = start_V.clamp(min=SMALLEST_WEIGHT).log().requires_grad_()
    optimiser = torch.optim.Adam([log_weights_V], lr=settings.rate)
    losses = []
    for epoch in range(settings.epochs):
        rng = np.random.default_rng((settings.seed, epoch))
        order = rng.permutation(described)
        total = 0.0
        for start in range(0, len(order), settings.batch):
            chosen_N = order[start : start + settings.batch]
            texts = [captions[number][int(rng.integers(len(captions[number])))] for number in chosen_N]
            present_NV = _present(vocabulary, texts) & used_V
            keys_N = torch.from_numpy(chosen_N)
            loss = contrastive_loss(
                _dense([images[number] for number in chosen_N], len(vocabulary)),
                keys_N,
                normalised(present_NV * log_weights_V.exp()),
                keys_N,
                settings.temperature,
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(chosen_N)
        losses.append(total / len(order))
    weights_V = torch.where(used_V, log_weights_V.detach().exp(), 0.0)
    return QueryLookup(vocabulary, weights_V.numpy()), losses


def _present(vocabulary: Vocabulary, texts: Sequence[str]) -> Tensor:
    token_ids_NL = torch.from_numpy(vocabulary.encode(texts, TEXT_TOKENS).token_ids.astype(np.int64))
    return torch.zeros(len(texts), len(vocabulary), dtype=torch.bool).scatter_(1, token_ids_NL, True)


def _dense(vectors: Sequence[LexiconVector], width: int) -> Tensor:
    rows_NV = np.zeros((len(vectors), width), np.float32)
    for row_V, vector in zip(rows_NV, vectors, strict=True):
        row_V[vector.terms] = vector.weights
    return torch.from_numpy(rows_NV)
