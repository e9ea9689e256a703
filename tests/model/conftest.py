"""Models that the tests of lexlip.model read."""

from pathlib import Path

import pytest
import torch

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_model


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def lexlip(tiny_lexlip: Path) -> LexLIP:
    """The tiny lexicon model, in evaluation mode. Read only."""
    model = load_model(tiny_lexlip)
    assert isinstance(model, LexLIP)
    return model


@pytest.fixture(scope="session")
def clip(tiny_clip: Path) -> DenseCLIP:
    """The tiny dense model, in evaluation mode. Read only."""
    model = load_model(tiny_clip)
    assert isinstance(model, DenseCLIP)
    return model
