"""A tiny model of each kind without dropout, and real examples of the scenes, for the tests of lexlip.objectives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lexlip.data.examples import ExampleBuilder, ExampleSettings
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.views import Batch
from lexlip.training.step import to_batch
from lexlip.vocabulary import Vocabulary

IMAGES, CAPTIONS = 8, 2


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def examples(scenes: Path, vocabulary: Vocabulary, tiny_model_settings: ModelSettings) -> dict[str, np.ndarray]:
    """Eight images with two captions each; the second and the seventh are the same image."""
    rows = pq.read_table(scenes).slice(0, IMAGES).select(["image_id", "image", "captions"])
    ids = rows["image_id"].to_pylist()
    ids[6] = ids[1]
    settings = ExampleSettings(text_tokens=16, captions_per_image=CAPTIONS, augment=False)
    builder = ExampleBuilder(vocabulary, tiny_model_settings.preprocessing, settings)
    made = builder(rows.set_column(0, "image_id", pa.array(ids)), 0)
    assert not made["problem"].astype(bool).any()
    return {name: values for name, values in made.items() if name != "problem"}


@pytest.fixture(scope="session")
def batch(examples: dict[str, np.ndarray], vocabulary: Vocabulary) -> Batch:
    return to_batch(examples, vocabulary.pad_id, "cpu")


@pytest.fixture
def lexlip(tiny_model_settings: ModelSettings, vocabulary: Vocabulary) -> LexLIP:
    return build(build_lexlip, tiny_model_settings, vocabulary)


@pytest.fixture
def clip(tiny_model_settings: ModelSettings, vocabulary: Vocabulary) -> DenseCLIP:
    return build(build_clip, tiny_model_settings, vocabulary)


def build(maker: Callable, settings: ModelSettings, vocabulary: Vocabulary) -> LexLIP | DenseCLIP:
    return maker(replace(settings, text=replace(settings.text, dropout=0.0)), vocabulary)
