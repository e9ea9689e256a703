"""What a model knows of its terms: followed in training, used by every cut, saved with the model."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lexlip.data.examples import ExampleSettings
from lexlip.errors import ModelError
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_model
from lexlip.model.term_statistics import LEAST_SHARE, SLOWEST, TermStatistics
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.objectives.views import Batch, normalised
from lexlip.training.phases import Phase
from lexlip.training.step import PhaseTrainer

ALL = 99  # stages and layers: more than any tower has
TEXTS = ["a red ball on the left", "two small cats"]


def unit_rows(rows: int, terms: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.rand(rows, terms, generator=generator), dim=1)


def covariance_matrix(statistics: TermStatistics, side: str) -> np.ndarray:
    covariance = statistics.covariance(side)
    return covariance.factor_VR @ covariance.factor_VR.T + np.diag(covariance.rest_V)


def test_before_training_all_terms_are_worth_the_same() -> None:
    statistics = TermStatistics(5)
    assert statistics.worth_of_image_terms().tolist() == statistics.worth_of_text_terms().tolist() == [1.0] * 5
    assert not covariance_matrix(statistics, "image").any()


def test_the_first_steps_give_the_mean_over_all_and_later_ones_move_it() -> None:
    statistics, images, texts = TermStatistics(7), unit_rows(60, 7, 1), unit_rows(60, 7, 2)
    for first in range(0, 60, 6):
        units = images[first : first + 6], texts[first : first + 6]
        statistics.follow(units, units)
    torch.testing.assert_close(statistics.image_running_mean, images.mean(dim=0))
    torch.testing.assert_close(statistics.worth_of_image_terms(), texts.square().mean(dim=0) ** 0.25)
    torch.testing.assert_close(statistics.worth_of_text_terms(), images.square().mean(dim=0) ** 0.25)
    statistics.times_followed.fill_(10_000)
    before = statistics.image_running_square.clone()
    statistics.follow((images[:6], texts[:6]), (images[:6], texts[:6]))
    expected = SLOWEST * before + (1 - SLOWEST) * images[:6].square().mean(dim=0)
    torch.testing.assert_close(statistics.image_running_square, expected)


def test_a_term_that_the_other_side_never_had_keeps_a_little() -> None:
    statistics = TermStatistics(4)
    units = (torch.eye(4)[:2], torch.eye(4)[:2])
    statistics.follow(units, units)
    worth = statistics.worth_of_text_terms()
    torch.testing.assert_close(worth[2:], torch.full((2,), LEAST_SHARE * float(worth[:2].sum()) / 4))


def test_rows_in_parts_give_the_covariance_of_all() -> None:
    statistics, images, texts = TermStatistics(9), unit_rows(400, 9, 1), unit_rows(400, 9, 2)
    for first in range(0, 400, 80):  # so few that none is forgotten
        units = images[first : first + 80], texts[first : first + 80]
        statistics.follow(units, units)
    for side, rows in (("image", images), ("text", texts)):
        # Each part lies around a mean of its own, so a part in eighty of the variance is not seen.
        np.testing.assert_allclose(
            covariance_matrix(statistics, side), np.cov(rows.numpy().T, bias=True), atol=0.03 * float(rows.var())
        )


def test_half_precision_around_it_changes_nothing() -> None:
    found, rows = [], unit_rows(80, 9, 1)
    for half in (False, True):
        statistics = TermStatistics(9)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            statistics.follow((rows, rows), (rows, rows))
        found.append(covariance_matrix(statistics, "image"))
    np.testing.assert_array_equal(found[0], found[1])


def test_a_step_that_went_wrong_is_left_to_the_run_and_shows_in_use() -> None:
    statistics, rows = TermStatistics(9), unit_rows(80, 9, 1)
    rows[3, 4] = float("nan")
    statistics.follow((rows, rows), (rows, rows))
    with pytest.raises(ModelError, match="not finite"):
        statistics.covariance("image")


def test_what_went_wrong_on_one_side_shows_on_the_other() -> None:
    statistics, rows = TermStatistics(9), unit_rows(80, 9, 1)
    statistics.follow((rows, rows), (rows, rows))
    statistics.image_factor[2, 1] = float("inf")  # lengths by spread look at both
    with pytest.raises(ModelError, match="not finite"):
        statistics.covariance("text")


def test_old_rows_are_forgotten() -> None:
    statistics, rows = TermStatistics(9), unit_rows(80, 9, 1)
    statistics.times_followed.fill_(10_000)
    statistics.follow((rows, rows), (rows, rows))
    expected = (1 - SLOWEST) * np.cov(rows.numpy().T, bias=True)
    factor = statistics.image_factor.numpy()
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-6)


def test_a_factor_of_low_rank_keeps_the_leading_directions_and_the_rest_on_the_diagonal() -> None:
    terms, rows = 300, unit_rows(500, 300, 1)
    statistics = TermStatistics(terms)
    statistics.follow((rows, rows), (rows, rows))
    whole = np.cov(rows.numpy().T, bias=True)
    rank = statistics.image_factor.shape[1]
    assert rank < terms
    values, vectors = np.linalg.eigh(whole.astype(np.float64))
    leading = (vectors[:, -rank:] * values[-rank:]) @ vectors[:, -rank:].T
    factor = statistics.image_factor.numpy()
    np.testing.assert_allclose(factor @ factor.T, leading, atol=1e-6)
    np.testing.assert_allclose(np.diag(covariance_matrix(statistics, "image")), np.diag(whole), atol=1e-6)


def test_the_usual_spread_is_the_root_mean_square_of_what_scores_do() -> None:
    terms = 300
    statistics, images, texts = TermStatistics(terms), unit_rows(700, terms, 1) ** 4, unit_rows(500, terms, 2)
    units = (torch.nn.functional.normalize(images, dim=1), texts)
    statistics.follow(units, units)
    for side, other in (("text", units[0]), ("image", units[1])):
        covariance = statistics.covariance(side)
        spreads = np.linalg.norm(other.numpy() @ covariance.factor_VR, axis=1)
        # What a term varies beyond the other side's factor counts as if it came alone.
        assert covariance.usual_spread == pytest.approx(float(np.sqrt(np.square(spreads).mean())), rel=2e-3)


@pytest.fixture
def trained(lexlip: LexLIP, batch: Batch) -> LexLIP:
    """The model after one training step."""
    phase = Phase("contrast", (InBatchContrastive(),), epochs=1, batch=4, image_size=lexlip.preprocessing.size)
    PhaseTrainer(lexlip, phase, 1, seed=0).step(batch)
    return lexlip.eval()


def test_training_follows_and_the_model_folder_keeps_it(trained: LexLIP, tmp_path: Path) -> None:
    statistics = trained.term_statistics
    assert int(statistics.times_followed) == 1
    assert float(statistics.image_running_square.sum()) == pytest.approx(1.0, abs=1e-4)
    trained.save_pretrained(tmp_path / "trained")
    loaded = load_model(tmp_path / "trained")
    assert isinstance(loaded, LexLIP)
    for side in ("image", "text"):
        found = covariance_matrix(loaded.term_statistics, side)
        assert found.any()
        np.testing.assert_array_equal(found, covariance_matrix(statistics, side))
    assert loaded.fingerprint == trained.fingerprint


def test_a_covariance_that_was_asked_for_is_not_kept_beyond_what_changes_it(trained: LexLIP) -> None:
    statistics = trained.term_statistics
    first = statistics.covariance("text")
    assert statistics.covariance("text") is first
    factor_VR, rows = first.factor_VR.copy(), unit_rows(20, len(trained.vocabulary), 5)
    statistics.follow((rows, rows), (rows, rows))
    second = statistics.covariance("text")
    np.testing.assert_array_equal(first.factor_VR, factor_VR)
    assert not np.allclose(second.factor_VR @ second.factor_VR.T, factor_VR @ factor_VR.T)
    statistics.load_state_dict(TermStatistics(len(trained.vocabulary)).state_dict())
    assert not statistics.covariance("text").rest_V.any()


def heads_alone(model: LexLIP, dropout: TokenDropout | None) -> Phase:
    return Phase(
        "heads",
        (InBatchContrastive(),),
        epochs=1,
        batch=4,
        image_size=model.preprocessing.size,
        examples=ExampleSettings(augment=False),
        frozen_image_stages=ALL,
        frozen_text_layers=ALL,
        remember_towers=True,
        token_dropout=dropout,
    )


@pytest.mark.parametrize("dropout", [None, TokenDropout()])
def test_statistics_are_of_both_looks_where_pictures_are_read_mirrored_too(
    lexlip: LexLIP, batch: Batch, dropout: TokenDropout | None
) -> None:
    model = copy.deepcopy(lexlip).eval()
    model.preprocessing = replace(model.preprocessing, mirrored=True)
    keys = torch.arange(len(batch.image_keys_N))
    captions = batch.captions_per_image
    batch = replace(batch, image_keys_N=keys, caption_keys_B=keys.repeat_interleave(captions))
    with torch.no_grad():
        looks = [normalised(model.image_vectors(pixels)) for pixels in (batch.pixels_N3SS, batch.pixels_N3SS.flip(-1))]
    PhaseTrainer(model, heads_alone(model, dropout), 1, seed=0).step(batch)
    expected = normalised(looks[0] + looks[1]).mean(dim=0)
    torch.testing.assert_close(model.term_statistics.image_running_mean, expected, atol=1e-4, rtol=1e-2)
    assert (looks[0].mean(dim=0) - expected).abs().max() > 1e-3


def test_what_is_hidden_from_the_heads_is_not_hidden_from_the_statistics(lexlip: LexLIP, batch: Batch) -> None:
    """Statistics are those of vectors as in use: training with and without hidden tokens begins with the same."""
    found = []
    for dropout in (None, TokenDropout()):
        model = copy.deepcopy(lexlip)
        PhaseTrainer(model, heads_alone(model, dropout), 1, seed=0).step(batch)
        found.append(covariance_matrix(model.term_statistics, "image"))
    assert found[0].any()
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)


def test_encoding_cuts_by_the_covariance_of_the_other_side(trained: LexLIP, scenes: Path) -> None:
    pictures = pq.read_table(scenes, columns=["image"])["image"].to_pylist()[:4]
    statistics = trained.term_statistics
    otherwise = 0
    for whole, found, other_side in (
        (trained.encode_image(pictures), trained.encode_image(pictures, top_terms=6), statistics.covariance("text")),
        (trained.encode_text(TEXTS), trained.encode_text(TEXTS, top_terms=6), statistics.covariance("image")),
    ):
        expected = SparseRows.of_vectors(whole).cut(6, other_side)
        for number, cut in enumerate(found):
            assert 0 < len(cut) <= 6
            assert cut.terms.tolist() == expected.row(number).terms.tolist()
            np.testing.assert_allclose(cut.weights, expected.row(number).weights, rtol=1e-3)
            assert np.linalg.norm(cut.weights) != pytest.approx(1.0, abs=1e-3)
            otherwise += cut.terms.tolist() != whole[number].top(6).terms.tolist()
    assert otherwise > 0
