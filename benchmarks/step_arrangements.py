"""Whole training steps in three arrangements: this project's, the same with the plain head, and the published one.

Shapes: N images, B = N captions, L text tokens, S pixels a side, D width, V vocabulary, Q queue entries.

All train one and the same model, with the same towers, optimiser and batch. The published arrangement is that of
github.com/ChiYeungLaw/LexLIP-ICCV23 (objectives.py and itr_module.py of both phases), written anew: masked-LM logits at
all positions, heads as in `head_arrangements.published_pooling`, two dense single-precision queues cloned at each step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from head_arrangements import published_pooling
from torch import Tensor, nn
from torch.nn import functional

from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model import lexicon_head
from lexlip.model.building import ModelSettings, build_lexlip
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.lexlip import LexLIP
from lexlip.model.pooling import reference_project_and_max_pool
from lexlip.model.text_tower import TextTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import NOT_MASKED, SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumEncoder, MomentumSettings
from lexlip.objectives.views import Batch
from lexlip.training.phases import Phase
from lexlip.training.step import PhaseTrainer
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

TEMPERATURE = 0.05
FLOPS_WEIGHT = 0.002
MASKED_SHARE, HEAVILY_MASKED_SHARE = 0.3, 0.5
STEPS_OF_THE_PHASE = 1000  # only the schedule looks at it


@dataclass(frozen=True)
class StepSettings:
    """One step; the defaults are ViT-B/16 and BERT-base.

    Attributes:
        phase: 1, lexicon-bottlenecked, or 2, momentum-contrastive.
        architecture: a timm model. image_size: pixels a side.
        text_width, text_layers, text_heads: of the text tower.
        text_tokens: L; captions are 8 to L tokens long.
        vocabulary: V.
        queue: Q.
    """

    phase: int = 1
    architecture: str = "vit_base_patch16_224"
    image_size: int = 224
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_tokens: int = 40
    vocabulary: int = 30_522
    queue: int = 11_520


def make_model(settings: StepSettings) -> LexLIP:
    """An untrained model; the same at each call."""
    torch.manual_seed(0)
    terms = SPECIAL_TERMS + tuple(f"term{number}" for number in range(settings.vocabulary - len(SPECIAL_TERMS)))
    text = TextTowerConfig(
        settings.text_width, settings.text_layers, settings.text_heads, 4 * settings.text_width, settings.text_tokens
    )
    model_settings = ModelSettings(
        image=ImageTowerConfig(settings.architecture, settings.image_size),
        text=text,
        preprocessing=ImagePreprocessing(settings.image_size),
        initial_bias=-1.0,
    )
    return build_lexlip(model_settings, Vocabulary(terms))


def make_batch(settings: StepSettings, images: int, model: LexLIP) -> Batch:
    """Random pixels and captions, the same at each call."""
    generator = torch.Generator().manual_seed(1)
    vocabulary, length = model.vocabulary, settings.text_tokens

    def integers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    ids_BL = integers(len(SPECIAL_TERMS), len(vocabulary), images, length)
    lengths_B1 = integers(min(8, length), length + 1, images, 1)
    lengths_B1[0] = length
    ids_BL[torch.arange(length)[None, :] >= lengths_B1] = vocabulary.pad_id
    ids_BL[:, 0] = vocabulary.cls_id
    words_BL = ids_BL >= len(SPECIAL_TERMS)
    masked, labels = [], []
    for share in (MASKED_SHARE, HEAVILY_MASKED_SHARE):
        hidden_BL = words_BL & (torch.rand(ids_BL.shape, generator=generator) < share)
        masked.append(ids_BL.masked_fill(hidden_BL, vocabulary.mask_id))
        labels.append(ids_BL.masked_fill(~hidden_BL, NOT_MASKED))
    keys = torch.arange(images)
    batch = Batch(
        pixels_N3SS=integers(0, 256, images, 3, settings.image_size, settings.image_size).to(torch.uint8),
        image_keys_N=keys,
        token_ids_BL=ids_BL,
        caption_keys_B=keys,
        encoder_masked_ids_BL=masked[0],
        encoder_labels_BL=labels[0],
        decoder_masked_ids_BL=masked[1],
        decoder_labels_BL=labels[1],
    )
    return Batch(**{name: value.to(model.device) for name, value in vars(batch).items()})


def make_trainer(settings: StepSettings, model: LexLIP, images: int) -> PhaseTrainer:
    """This project's trainer of the phase, with the published objectives."""
    objectives: tuple = (SelfMaskedLM(), TextBottleneck(), ImageBottleneck())
    contrastive = InBatchContrastive(temperature=TEMPERATURE)
    momentum = None
    if settings.phase == 2:
        objectives, momentum = (), MomentumSettings(queue=settings.queue)
        contrastive = MomentumContrastive(temperature=TEMPERATURE)
    phase = Phase(
        name=f"phase {settings.phase}",
        objectives=(*objectives, contrastive, Flops(FLOPS_WEIGHT, ramp_share=0.0)),
        epochs=1,
        batch=images,
        image_size=settings.image_size,
        momentum=momentum,
        examples=ExampleSettings(text_tokens=settings.text_tokens),
    )
    return PhaseTrainer(model, phase, STEPS_OF_THE_PHASE, seed=0)


def ours(settings: StepSettings, model: LexLIP, images: int) -> Callable[[Batch], object]:
    """One step of this project."""
    return make_trainer(settings, model, images).step


def reference(settings: StepSettings, model: LexLIP, images: int) -> Callable[[Batch], object]:
    """The same step with heads that store all logits."""
    trainer = make_trainer(settings, model, images)

    def step(batch: Batch) -> object:
        fused = lexicon_head.project_and_max_pool
        lexicon_head.project_and_max_pool = reference_project_and_max_pool
        try:
            return trainer.step(batch)
        finally:
            lexicon_head.project_and_max_pool = fused

    return step


def published(settings: StepSettings, model: LexLIP, images: int) -> Callable[[Batch], object]:
    """The published arrangement of the same losses."""
    trainer = make_trainer(settings, model, images)
    trainer.loss = (PublishedPhase1 if settings.phase == 1 else PublishedPhase2)(model, settings).to(model.device)
    return trainer.step


class PublishedPhase1(nn.Module):
    """Four losses from logits of all positions."""

    def __init__(self, model: LexLIP, _: StepSettings) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, progress: float, *_: object) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and nothing to watch."""
        model = self.model
        masked_BLV = model.text_head.logits(model.text_states(batch.encoder_masked_ids_BL))
        total = _masked_lm(masked_BLV, batch.encoder_labels_BL)
        embeddings_VD = model.text_tower.word_embeddings
        _, text_mixture_BD = published_pooling(_without_padding(masked_BLV, model, batch), embeddings_VD)
        texts_BV = _published_texts(model, batch)
        image_weights_NV, image_mixture_ND = published_pooling(
            model.image_head.logits(model.image_states(batch.pixels_N3SS)), embeddings_VD
        )
        for mixture_BD in (text_mixture_BD, image_mixture_ND):
            states_BLD = model.decode_masked(mixture_BD, batch.decoder_masked_ids_BL)
            total = total + _masked_lm(model.text_head.logits(states_BLD), batch.decoder_labels_BL)
        images_NV = functional.normalize(image_weights_NV)
        scores_BN = texts_BV @ images_NV.T / TEMPERATURE
        targets_B = torch.arange(len(scores_BN), device=scores_BN.device)
        for scores in (scores_BN, scores_BN.T):
            total = total + 0.5 * functional.cross_entropy(scores, targets_B)
        return total + _published_flops(texts_BV) + _published_flops(images_NV), {}


class PublishedPhase2(nn.Module):
    """Queries against momentum keys and two dense queues."""

    def __init__(self, model: LexLIP, settings: StepSettings) -> None:
        super().__init__()
        self.model = model
        for name in ("image_queue", "text_queue"):
            self.register_buffer(name, functional.normalize(torch.randn(settings.vocabulary, settings.queue), dim=0))
        self.place = 0

    def forward(
        self, batch: Batch, progress: float, momentum: MomentumEncoder, *_: object
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and nothing to watch."""
        texts_BV, images_NV = _published_vectors(self.model, batch)
        with torch.no_grad():
            text_keys_BV, image_keys_NV = _published_vectors(momentum.average, batch)
        total = _published_flops(texts_BV) + _published_flops(images_NV)
        for queries_BV, keys_BV, queue_VQ in (
            (texts_BV, image_keys_NV, self.image_queue),
            (images_NV, text_keys_BV, self.text_queue),
        ):
            right_B1 = (queries_BV * keys_BV).sum(dim=1, keepdim=True)
            scores = torch.cat((right_B1, queries_BV @ queue_VQ.clone().detach()), dim=1) / TEMPERATURE
            nearest = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
            total = total + 0.5 * functional.cross_entropy(scores, nearest)
        stop = min(self.place + len(texts_BV), self.image_queue.shape[1])
        self.image_queue[:, self.place : stop] = image_keys_NV.T[:, : stop - self.place]
        self.text_queue[:, self.place : stop] = text_keys_BV.T[:, : stop - self.place]
        self.place = stop % self.image_queue.shape[1]
        return total, {}


def _published_vectors(model: LexLIP, batch: Batch) -> tuple[Tensor, Tensor]:
    texts_BV = _published_texts(model, batch)
    logits_NTV = model.image_head.logits(model.image_states(batch.pixels_N3SS))
    return texts_BV, functional.normalize(_rectified(logits_NTV))


def _published_texts(model: LexLIP, batch: Batch) -> Tensor:
    logits_BLV = model.text_head.logits(model.text_states(batch.token_ids_BL))
    return functional.normalize(_rectified(_without_padding(logits_BLV, model, batch)))


def _rectified(logits_BTV: Tensor) -> Tensor:
    return torch.log(1 + torch.max(logits_BTV, torch.zeros_like(logits_BTV)).max(dim=1).values)


def _without_padding(logits_BLV: Tensor, model: LexLIP, batch: Batch) -> Tensor:
    return logits_BLV + model.text_padding(batch.token_ids_BL)[:, :, None] * -1e6


def _masked_lm(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    return functional.cross_entropy(logits_BLV.flatten(0, 1), labels_BL.flatten(), ignore_index=NOT_MASKED)


def _published_flops(vectors_BV: Tensor) -> Tensor:
    return FLOPS_WEIGHT * vectors_BV.abs().mean(dim=0).square().sum()


def compiled(settings: StepSettings, model: LexLIP, images: int) -> Callable[[Batch], object]:
    """One step of this project with both towers compiled by torch; captions may have any length."""
    model.image_tower.compile()
    model.text_tower.compile(dynamic=True)
    return ours(settings, model, images)


ARRANGEMENTS = {"ours": ours, "reference": reference, "published": published, "compiled": compiled}
