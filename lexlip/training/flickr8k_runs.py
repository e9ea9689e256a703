"""Runs on Flickr8k's 6,000 training photos with pretrained towers, each within an hour on two cores.

Weights are looked for in ../shared/data/weights.
"""

from dataclasses import replace

from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model.building import ModelSettings
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.caption_words import CaptionWords, SaidWords
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.training.dense_twin import dense_twin
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run, VocabularySettings

WEIGHTS = "../shared/data/weights"
ALL_STAGES, ALL_LAYERS = 8, 7  # of MobileNetV2, and of MiniLM with its embeddings
HALF_RANGE = (0.5, 0.5, 0.5)  # pixels of -1..1, as MobileNetV2 was trained


def flickr8k_cpu() -> Run:
    """LexLIP with pretrained MobileNetV2 and MiniLM towers."""
    text_weights = f"{WEIGHTS}/all_minilm_l6_v2"
    # Cheap epochs first: words as targets need no text tower. Resolution grows at the end.
    words = Phase(
        name="words",
        objectives=(CaptionWords(),),
        epochs=6,
        batch=64,
        image_size=128,
        optimiser=OptimiserSettings(tower_rate=3e-4, head_rate=1e-3),
        examples=ExampleSettings(text_tokens=20, captions_per_image=5),
        frozen_image_stages=6,
        frozen_text_layers=4,
        freeze_batch_norm=True,
    )
    first = replace(
        words,
        name="bottleneck",
        objectives=(
            SelfMaskedLM(0.1),
            TextBottleneck(0.1),
            ImageBottleneck(0.1),
            InBatchContrastive(),
            Flops(0.003),
        ),
        epochs=1,
        optimiser=OptimiserSettings(tower_rate=1e-4, head_rate=5e-4),
        examples=ExampleSettings(text_tokens=20),
    )
    second = replace(
        first,
        name="momentum",
        objectives=(MomentumContrastive(), InBatchContrastive(), Flops(0.003, ramp_share=0.0)),
        momentum=MomentumSettings(decay=0.99, queue=1024, key_terms=256),
        epochs=3,
    )
    third = replace(
        second,
        name="fine-tuning",
        epochs=1,
        image_size=192,
        optimiser=OptimiserSettings(tower_rate=5e-5, head_rate=2e-4),
    )
    # 224 pixels are what MobileNetV2 was trained for; photos of 192 gain from being enlarged.
    fourth = replace(
        third,
        name="full-resolution",
        objectives=(*third.objectives, CutContrastive()),
        epochs=2,
        image_size=224,
        optimiser=OptimiserSettings(tower_rate=1e-4, head_rate=4e-4),
    )
    return Run(
        name="flickr8k-cpu",
        kind="lexlip",
        model=ModelSettings(
            image=ImageTowerConfig("mobilenetv2_100", 128, {"pad_type": "same"}),
            image_weights=f"{WEIGHTS}/mobilenetv2_100_in1k",
            text_weights=text_weights,
            preprocessing=ImagePreprocessing(128, HALF_RANGE, HALF_RANGE),
            initial_bias=-2.5,
        ),
        vocabulary=VocabularySettings(folder=text_weights, restrict=True),
        phases=(words, first, second, third, fourth),
        shuffle_rows=1500,
    )


def flickr8k_cpu_distilled() -> Run:
    """The same with the dense twin as teacher of the later phases, and the heads alone at the end.

    Give `pretrain.py --teacher` the model of `flickr8k-cpu-clip`.
    """
    base = flickr8k_cpu()
    *before, third, fourth = base.phases
    objectives = (InBatchContrastive(), Flops(0.003, ramp_share=0.0), CutContrastive(), Distillation())
    # The teacher says of every pair what the momentum keys say of a few, so the phases that follow it have none.
    third, fourth = (replace(phase, objectives=objectives, momentum=None) for phase in (third, fourth))
    # Heads learn on when the towers have begun to learn the photos by heart; a step costs no backward pass of theirs.
    heads = replace(
        fourth,
        name="heads",
        epochs=4,
        frozen_image_stages=ALL_STAGES,
        frozen_text_layers=ALL_LAYERS,
        optimiser=OptimiserSettings(tower_rate=2e-4, head_rate=2e-4),
    )
    return replace(base, name="flickr8k-cpu-distilled", phases=(*before, third, fourth, heads))


def flickr8k_cpu_dense_to_sparse() -> Run:
    """Lexicon heads alone, on the towers of the dense twin, which is their teacher: minutes after it is trained.

    Pictures are read mirrored too, in training and in use. Give `pretrain.py --teacher` the model of
    `flickr8k-cpu-clip`.
    """
    base = flickr8k_cpu()
    # Fresh heads learn at ten times the rate that towers bear. Free, they would take rare near-synonyms for codes.
    heads = replace(
        _on_frozen_towers(base.phases[-1]),
        name="heads",
        objectives=(
            InBatchContrastive(),
            Flops(0.02),
            CutContrastive(weight=0.5),
            Distillation(cut_weight=0.5),
            SaidWords(telling=True),
        ),
        epochs=8,
        token_dropout=TokenDropout(),
        optimiser=OptimiserSettings(tower_rate=2e-3, head_rate=3e-3),
    )
    return replace(
        base,
        name="flickr8k-cpu-dense-to-sparse",
        model=replace(base.model, tied_text_head=False, preprocessing=replace(base.model.preprocessing, mirrored=True)),
        towers_of_teacher=True,
        phases=(heads,),
    )


def flickr8k_cpu_clip() -> Run:
    """The dense baseline on the same towers and data, for as many steps; then its projections alone, as heads learn."""
    twin = flickr8k_cpu_clip_plain()
    projections = replace(
        _on_frozen_towers(twin.phases[-1]),
        name="projections",
        objectives=(InBatchContrastive(),),
        epochs=4,
        optimiser=OptimiserSettings(tower_rate=1e-3, head_rate=1e-3),
    )
    return replace(twin, name="flickr8k-cpu-clip", phases=(*twin.phases, projections))


def flickr8k_cpu_clip_plain() -> Run:
    """CLIP as published on the same towers and data: contrastive learning end to end, and nothing after it."""
    return dense_twin(flickr8k_cpu(), "flickr8k-cpu-clip-plain")


def _on_frozen_towers(phase: Phase) -> Phase:
    """The phase with both towers frozen and remembered, so that all captions of a photo can take part in every step.

    While the text tower learned, they would cost five forward and backward passes of it.
    """
    return replace(
        phase,
        momentum=None,
        batch=128,
        frozen_image_stages=ALL_STAGES,
        frozen_text_layers=ALL_LAYERS,
        remember_towers=True,
        examples=replace(phase.examples, augment=False, captions_per_image=5),
    )
