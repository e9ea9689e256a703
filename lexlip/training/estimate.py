"""What a run will cost before it starts: parameters, memory of a worker, steps.

The model is built and passed through on torch's "meta" device, which knows shapes but holds no numbers, so that a full
size run is estimated in seconds on any machine. Memory is counted, not measured: weights and what belongs to them
exactly, activations as what autograd keeps for one image and one caption, times their number. The decoder's two layers
and what the allocator wastes are left out: leave room.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig

from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings
from lexlip.model.lexlip import LexLIP
from lexlip.model.text_tower import TextTowerConfig
from lexlip.model.towers import TwoTowers
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.caption_words import CaptionWords
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.training.optimiser import freeze
from lexlip.training.phases import Phase
from lexlip.training.run import Run
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

SINGLE, HALF = 4, 2  # bytes
MOMENTS = 2  # of AdamW
COUNTED_ROWS = 2
CUT_COPIES = 3  # selection, cut and unit vectors, of each row at each cut of a batch
DENSE_COPIES = 4  # pooled logits, weights, unit vectors and their gradients, of each row of a batch
QUEUE_ENTRY_BYTES = 6  # term id and half-precision weight


@dataclass(frozen=True)
class PhaseEstimate:
    """One phase on one worker.

    Attributes:
        name: of the phase.
        steps: optimiser steps.
        learning: parameters that learn.
        weights_bytes: weights, gradients, AdamW's moments, momentum copy and queues, teacher.
        activations_bytes: what the towers keep between the passes, at the most.
        vectors_bytes: dense vectors of the batch's rows.
        remembered_bytes: outputs of frozen towers, in phases that remember them; at most, as if every epoch drew new
            captions.
    """

    name: str
    steps: int
    learning: int
    weights_bytes: int
    activations_bytes: int
    vectors_bytes: int
    remembered_bytes: int

    @property
    def bytes(self) -> int:
        """All together."""
        return self.weights_bytes + self.activations_bytes + self.vectors_bytes + self.remembered_bytes


@dataclass(frozen=True)
class RunEstimate:
    """A run on some number of workers.

    Attributes:
        parameters: of the model, by part.
        terms: of the vocabulary.
        images: pairs that the steps were counted for.
        workers: data-parallel workers.
        phases: one after the other.
    """

    parameters: dict[str, int]
    terms: int
    images: int
    workers: int
    phases: tuple[PhaseEstimate, ...]


def estimate_run(run: Run, terms: int, images: int, workers: int, half_precision: bool) -> RunEstimate:
    """Counts what a run needs.

    Args:
        run: what to train. Its weights are not read: a pretrained text tower counts with the size in its config.json,
            or, where that is not there, with the size that `run.model.text` states.
        terms: of the vocabulary.
        images: pairs of the training data.
        workers: data-parallel workers that share each batch.
        half_precision: activations take 2 bytes, as on a GPU, instead of 4.
    """
    vocabulary = Vocabulary(SPECIAL_TERMS + tuple(f"term{number}" for number in range(terms - len(SPECIAL_TERMS))))
    text = _text_size(run.model)
    untrained = replace(run, model=replace(run.model, image_weights=None, text=text, text_weights=None))
    with torch.device("meta"):
        model = untrained.build(vocabulary).train()
    phases = tuple(_estimate_phase(model, phase, images, workers, half_precision) for phase in run.phases)
    named = {name: part for name, part in model.named_children() if any(True for _ in part.parameters())}
    counted: set[int] = set()
    parameters: dict[str, int] = {}
    for name, part in named.items():
        own = [value for value in part.parameters() if id(value) not in counted]
        counted |= {id(value) for value in own}  # tied weights count once, where they come first
        parameters[name] = sum(value.numel() for value in own)
    return RunEstimate(parameters, terms, images, workers, phases)


def _text_size(settings: ModelSettings) -> TextTowerConfig:
    if settings.text_weights is None or not Path(settings.text_weights).is_dir():
        return settings.text
    stated = AutoConfig.from_pretrained(settings.text_weights)
    return TextTowerConfig(
        width=stated.hidden_size,
        layers=stated.num_hidden_layers,
        heads=stated.num_attention_heads,
        intermediate=getattr(stated, "intermediate_size", 4 * stated.hidden_size),
        positions=stated.max_position_embeddings,
    )


def _estimate_phase(model: TwoTowers, phase: Phase, total: int, workers: int, half_precision: bool) -> PhaseEstimate:
    if phase.batch % workers:
        raise ModelError(f"phase {phase.name}: a batch of {phase.batch} cannot be shared by {workers} workers")
    freeze(model, phase)
    learning = sum(value.numel() for value in model.parameters() if value.requires_grad)
    everything = sum(value.numel() for value in model.parameters())
    weights_bytes = SINGLE * (everything + (1 + MOMENTS) * learning)
    if phase.momentum is not None:
        kept_terms = min(phase.momentum.key_terms, len(model.vocabulary))
        weights_bytes += SINGLE * everything + 2 * QUEUE_ENTRY_BYTES * phase.momentum.queue * kept_terms
    if phase.follows_teacher:
        weights_bytes += SINGLE * sum(value.numel() for value in _tower_parameters(model))  # dense, on like towers
    images = phase.batch // workers
    rows = images * (1 + max(1, phase.examples.captions_per_image))
    if phase.momentum is not None:
        rows *= 2  # momentum keys
    width = len(model.vocabulary) if isinstance(model, LexLIP) else model.configuration()["embedding_width"]
    return PhaseEstimate(
        name=phase.name,
        steps=max(1, total // phase.batch) * phase.epochs,
        learning=learning,
        weights_bytes=weights_bytes,
        activations_bytes=int(_activations(model, phase, images) * (HALF / SINGLE if half_precision else 1)),
        vectors_bytes=(DENSE_COPIES + CUT_COPIES * _cuts(phase)) * SINGLE * rows * width,
        remembered_bytes=total * _remembered_bytes(model, phase) if phase.remember_towers else 0,
    )


def _remembered_bytes(model: TwoTowers, phase: Phase) -> int:
    """Of one image and its captions."""
    side = model.preprocessing.size
    pixels = torch.empty(1, 3, side, side, dtype=torch.uint8, device="meta")
    tokens = model.preprocessing.looks * model.image_tokens(pixels).numel() * (phase.image_size / side) ** 2
    captions = phase.epochs * max(1, phase.examples.captions_per_image)
    return HALF * int(tokens + captions * phase.examples.text_tokens * model.text_tower.width)


def _cuts(phase: Phase) -> int:
    """How many different cuts of the vectors the objectives compare."""
    return len({cut for objective in phase.objectives for cut in getattr(objective, "cuts", ())})


def _tower_parameters(model: TwoTowers) -> list[torch.nn.Parameter]:
    return [value for tower in (model.image_tower, model.text_tower) for value in tower.parameters()]


def _activations(model: TwoTowers, phase: Phase, images: int) -> float:
    """Bytes in single precision: of the largest part where rows come in parts, else of all passes together."""
    length, side = phase.examples.text_tokens, model.preprocessing.size
    pixels = torch.empty(COUNTED_ROWS, 3, side, side, dtype=torch.uint8, device="meta")
    token_ids = torch.ones(COUNTED_ROWS, length, dtype=torch.int64, device="meta")

    def text() -> Tensor:
        # Without a padding mask, whose numbers transformers would look at.
        states = model.text_tower.encoder(input_ids=token_ids).last_hidden_state
        return model.pool_text_states(states, token_ids) if isinstance(model, LexLIP) else states

    # Position embeddings of another resolution cannot be interpolated without numbers: cost grows with the pixels.
    scale = (phase.image_size / side) ** 2
    image = scale * _kept_bytes(model, lambda: model.image_vectors(pixels))
    caption = _kept_bytes(model, text)
    if phase.checkpoint_activations:
        # Each block's input, and the activations of one block at a time.
        image_blocks, text_blocks = len(model.image_tower.stages()), len(model.text_tower.layers())
        image = image / image_blocks + scale * image_blocks * model.image_tokens(pixels)[0].nbytes
        caption = caption / text_blocks + text_blocks * SINGLE * length * model.text_tower.width
    masks = [each for each in phase.objectives if isinstance(each, SelfMaskedLM | TextBottleneck | ImageBottleneck)]
    # Logits at masked positions and their gradient.
    masked_lm = 2 * SINGLE * len(model.vocabulary) * length * phase.examples.decoder_mask_share if masks else 0.0
    captions = images * max(1, phase.examples.captions_per_image)
    passes = [(images, image), (captions, masked_lm)]
    if not all(isinstance(each, CaptionWords) for each in phase.objectives):
        passes.append((captions, caption))
    if phase.rows_at_once is not None:
        return max(min(rows, phase.rows_at_once) * size for rows, size in passes)
    if masks:
        passes += [(captions, caption), (captions, masked_lm), (captions, masked_lm)]
    return sum(rows * size for rows, size in passes)


def _kept_bytes(model: TwoTowers, work: Callable[[], Tensor]) -> float:
    """Bytes of one row that autograd keeps for the backward pass, without weights; what is kept twice counts once."""
    weights = {value.untyped_storage()._cdata for value in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Any] = []  # a storage that has gone could lend its address to the next

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(storage)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        alive.append(work())
    return sum(kept.values()) / COUNTED_ROWS
