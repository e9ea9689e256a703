"""The runs of `make demo`: both towers from scratch on drawn scenes."""

from dataclasses import replace

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model.building import ModelSettings
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.text_tower import TextTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.caption_words import CaptionWords
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.training.dense_twin import dense_twin
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run

HALF_RANGE = (0.5, 0.5, 0.5)  # pixels of -1..1


def demo() -> Run:
    """LexLIP on drawn scenes, both towers from scratch: two minutes on two cores."""
    # Captions say "left" and "right", so pictures are not mirrored; colours are named, so they are not changed.
    pictures = AugmentationSettings(smallest_crop=0.8, flip_share=0.0, operations=0)
    examples = ExampleSettings(text_tokens=28, augmentation=pictures)
    rates = OptimiserSettings(tower_rate=1e-3, head_rate=1e-3)
    return Run(
        name="demo",
        kind="lexlip",
        model=ModelSettings(
            image=ImageTowerConfig("resnet10t", 80, {"channels": (32, 64, 128, 256)}),
            text=TextTowerConfig(width=128, layers=2, heads=4, intermediate=384),
            preprocessing=ImagePreprocessing(80, HALF_RANGE, HALF_RANGE),
        ),
        phases=(
            Phase(
                name="words",
                objectives=(CaptionWords(),),
                epochs=3,
                batch=64,
                image_size=80,
                optimiser=rates,
                examples=replace(examples, captions_per_image=5),
            ),
            Phase(
                name="bottleneck",
                objectives=(
                    SelfMaskedLM(0.1),
                    TextBottleneck(0.1),
                    ImageBottleneck(0.1),
                    InBatchContrastive(),
                    Flops(0.01),
                ),
                epochs=1,
                batch=64,
                image_size=80,
                optimiser=rates,
                examples=examples,
            ),
            Phase(
                name="momentum",
                objectives=(MomentumContrastive(), InBatchContrastive(), Flops(0.01, ramp_share=0.0)),
                epochs=1,
                batch=64,
                image_size=80,
                half_resolution_share=0.1,
                momentum=MomentumSettings(decay=0.95, queue=512, key_terms=64),
                optimiser=replace(rates, tower_rate=5e-4, head_rate=5e-4),
                examples=examples,
            ),
        ),
        shuffle_rows=256,
    )


def demo_clip() -> Run:
    """The dense baseline on the same towers and data."""
    return dense_twin(demo(), "demo-clip")
