"""Real examples of the scenes as batches, and tiny phases, for the tests of lexlip.training."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lexlip.data.examples import ExampleBuilder, ExampleSettings
from lexlip.model.building import ModelSettings
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.objectives.views import Batch
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.step import to_batch
from lexlip.vocabulary import Vocabulary

EXAMPLES = ExampleSettings(text_tokens=16, augment=False)
FAST = OptimiserSettings(tower_rate=2e-3, head_rate=2e-3)


@pytest.fixture(scope="session")
def batch_of(scenes: Path, vocabulary: Vocabulary, tiny_model_settings: ModelSettings) -> Callable[[int], Batch]:
    """The n-th eight images of the scenes with a caption each."""
    table = pq.read_table(scenes).select(["image_id", "image", "captions"])
    builder = ExampleBuilder(vocabulary, tiny_model_settings.preprocessing, EXAMPLES)
    return lambda number: to_batch(builder(table.slice(8 * number, 8), 0), vocabulary.pad_id, "cpu")


@pytest.fixture(scope="session")
def bottleneck_phase() -> Phase:
    return Phase(
        name="bottleneck",
        objectives=(SelfMaskedLM(0.1), TextBottleneck(0.1), ImageBottleneck(0.1), InBatchContrastive(), Flops(0.001)),
        epochs=1,
        batch=8,
        image_size=64,
        optimiser=FAST,
        examples=EXAMPLES,
    )


@pytest.fixture(scope="session")
def momentum_phase() -> Phase:
    return Phase(
        name="momentum",
        objectives=(MomentumContrastive(),),
        epochs=1,
        batch=8,
        image_size=64,
        half_resolution_share=0.5,
        momentum=MomentumSettings(decay=0.9, queue=20, key_terms=50),
        optimiser=FAST,
        examples=EXAMPLES,
    )
