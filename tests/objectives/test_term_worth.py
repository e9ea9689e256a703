"""The worth of terms: followed in training, used by every cut, saved with the model."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_model
from lexlip.model.term_worth import LEAST_SHARE, SLOWEST, TermWorth
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.views import Batch
from lexlip.training.phases import Phase
from lexlip.training.step import PhaseTrainer

TEXTS = ["a red ball on the left", "two small cats"]


def unit_rows(rows: int, terms: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.rand(rows, terms, generator=generator), dim=1)


def test_before_training_all_terms_are_worth_the_same() -> None:
    assert TermWorth(5).of_image_terms().tolist() == TermWorth(5).of_text_terms().tolist() == [1.0] * 5


def test_the_first_steps_give_the_mean_over_all_and_later_ones_move_it() -> None:
    worth, images, texts = TermWorth(7), unit_rows(60, 7, 1), unit_rows(60, 7, 2)
    for first in range(0, 60, 6):
        worth.follow(images[first : first + 6], texts[first : first + 6])
    torch.testing.assert_close(worth.of_image_terms(), texts.square().mean(dim=0) ** 0.25)
    torch.testing.assert_close(worth.of_text_terms(), images.square().mean(dim=0) ** 0.25)
    worth.steps.fill_(10_000)
    before = worth.image_running_square.clone()
    worth.follow(images[:6], texts[:6])
    expected = SLOWEST * before + (1 - SLOWEST) * images[:6].square().mean(dim=0)
    torch.testing.assert_close(worth.image_running_square, expected)


def test_a_term_that_the_other_side_never_had_keeps_a_little() -> None:
    worth = TermWorth(4)
    worth.follow(torch.eye(4)[:2], torch.eye(4)[:2])
    known, unknown = worth.of_text_terms()[:2], worth.of_text_terms()[2:]
    torch.testing.assert_close(unknown, torch.full((2,), LEAST_SHARE * float(known.sum()) / 4))


@pytest.fixture
def trained(lexlip: LexLIP, batch: Batch) -> LexLIP:
    """The model after one training step."""
    phase = Phase("contrast", (InBatchContrastive(),), epochs=1, batch=4, image_size=lexlip.preprocessing.size)
    PhaseTrainer(lexlip, phase, 1, seed=0).step(batch)
    return lexlip.eval()


def test_training_follows_and_the_model_folder_keeps_it(trained: LexLIP, tmp_path: Path) -> None:
    assert int(trained.term_worth.steps) == 1
    assert float(trained.term_worth.image_running_square.sum()) == pytest.approx(1.0, abs=1e-4)
    trained.save_pretrained(tmp_path / "trained")
    loaded = load_model(tmp_path / "trained")
    assert isinstance(loaded, LexLIP)
    torch.testing.assert_close(loaded.term_worth.of_image_terms(), trained.term_worth.of_image_terms())
    assert loaded.fingerprint == trained.fingerprint


def test_encoding_keeps_the_terms_of_the_highest_weight_times_worth(trained: LexLIP, scenes: Path) -> None:
    pictures = pq.read_table(scenes, columns=["image"])["image"].to_pylist()[:4]
    image_worth, text_worth = (
        worth_V.numpy() for worth_V in (trained.term_worth.of_image_terms(), trained.term_worth.of_text_terms())
    )
    pairs = [
        *zip(
            trained.encode_image(pictures), trained.encode_image(pictures, top_terms=6), [image_worth] * 4, strict=True
        ),
        *zip(trained.encode_text(TEXTS), trained.encode_text(TEXTS, top_terms=6), [text_worth] * 2, strict=True),
    ]
    otherwise = 0
    for whole, cut, worth_V in pairs:
        ranked = sorted(range(len(whole)), key=lambda at: -whole.weights[at] * worth_V[whole.terms[at]])
        assert cut.terms.tolist() == sorted(whole.terms[ranked[:6]].tolist())
        assert np.linalg.norm(cut.weights) == pytest.approx(1.0, abs=1e-5)
        otherwise += cut.terms.tolist() != whole.top(6).terms.tolist()
    assert otherwise > 0
