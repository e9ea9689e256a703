"""Runs for `--run tests/cluster_nodes/tiny_runs.py:two_phases`: all there is to resume, in milliseconds a step."""

from dataclasses import replace

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model.building import ModelSettings
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.text_tower import TextTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run, VocabularySettings

IMAGE_SIZE = 64


def two_phases() -> Run:
    """Bottleneck and momentum phases on towers from scratch."""
    bottleneck = Phase(
        name="bottleneck",
        objectives=(SelfMaskedLM(), TextBottleneck(), ImageBottleneck(), InBatchContrastive(), Flops(0.01)),
        epochs=1,
        batch=8,
        image_size=IMAGE_SIZE,
        optimiser=OptimiserSettings(tower_rate=1e-3, head_rate=1e-3),
        examples=ExampleSettings(text_tokens=16, augmentation=AugmentationSettings(operations=1)),
    )
    momentum = replace(
        bottleneck,
        name="momentum",
        objectives=(MomentumContrastive(), Flops(0.01)),
        momentum=MomentumSettings(queue=24, key_terms=32),
        epochs=3,
    )
    model = ModelSettings(
        image=ImageTowerConfig("test_vit", image_size=IMAGE_SIZE),
        text=TextTowerConfig(width=32, layers=1, heads=2, intermediate=64),
        preprocessing=ImagePreprocessing(size=IMAGE_SIZE),
        embedding_width=16,
    )
    return Run("two-phases", "lexlip", model, (bottleneck, momentum), VocabularySettings(size=400), shuffle_rows=8)


def one_long_epoch() -> Run:
    """The first phase alone, in small steps."""
    run = two_phases()
    return replace(run, name="one-long-epoch", phases=(replace(run.phases[0], batch=4),))
