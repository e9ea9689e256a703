"""Lexicon health: counted against plain loops, and said aloud when something goes wrong."""

import pytest
import torch

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.health import TOP_TERMS, TermUse, health, health_warnings
from lexlip.objectives.views import Batch, Views

SOUND = {"image_terms": 60.0, "text_terms": 20.0, "image_top_share": 0.1, "text_top_share": 0.2}


@pytest.fixture
def views(lexlip: LexLIP, batch: Batch) -> Views:
    made = Views(lexlip, batch, 0.0)
    assert made.image_vectors_NX.shape[0] == 8
    assert made.text_vectors_BX.shape[0] == 16
    return made


def test_figures_are_those_of_a_count_by_hand(views: Views) -> None:
    figures = {name: value.item() for name, value in health(views).items()}
    for side, vectors in (("image", views.image_vectors_NX), ("text", views.text_vectors_BX)):
        rows = vectors.detach().tolist()
        used = {term for row in rows for term, weight in enumerate(row) if weight > 0}
        assert figures[f"{side}_used_terms"] == len(used)
        assert figures[f"{side}_terms"] == pytest.approx(sum(sum(w > 0 for w in row) for row in rows) / len(rows))
        mass = sorted((sum(column) for column in zip(*rows, strict=True)), reverse=True)
        assert figures[f"{side}_top_share"] == pytest.approx(sum(mass[:TOP_TERMS]) / sum(mass), rel=1e-4)
    assert 0 <= figures["in_batch_recall"] <= 1


def test_only_what_objectives_have_computed_is_counted(lexlip: LexLIP, clip: DenseCLIP, batch: Batch) -> None:
    views = Views(lexlip, batch, 0.0)
    assert health(views) == {}
    assert views.image_pooled_NV.requires_grad
    assert set(health(views)) == {"image_terms", "image_used_terms"}
    dense = Views(clip, batch, 0.0)
    assert dense.image_vectors_NX.shape == (8, 16)
    assert health(dense) == {}


def test_a_term_lives_if_any_step_since_the_last_reset_used_it(views: Views, lexlip: LexLIP, batch: Batch) -> None:
    use = TermUse()
    use.add(views)
    first = (views.image_vectors_NX > 0).any(dim=0)
    with torch.no_grad():
        lexlip.image_head.bias[first] = -1e4
        lexlip.image_head.bias[~first] = 1e4
    others = Views(lexlip, batch, 0.0)
    assert others.image_pooled_NV.shape[1] == len(lexlip.vocabulary)
    use.add(others)
    figures = use.take()
    ordinary = len(lexlip.vocabulary) - 5  # special terms never get a weight
    assert (figures["image_live_terms"], figures["image_dead_terms"]) == (ordinary, 5)
    assert figures["text_live_terms"] == (views.text_vectors_BX > 0).any(dim=0).sum().item()
    assert use.take() == {}
    use.add(others)
    assert use.take()["image_live_terms"] == ordinary - first.sum().item()


def test_a_sound_lexicon_warns_of_nothing() -> None:
    assert health_warnings(SOUND) == []
    assert health_warnings({}) == []
    assert health_warnings({"image_live_terms": 900.0}, {"image_live_terms": 1000.0}) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image_terms": 1.2}, "vectors of images have 1.2 terms"),
        ({"text_top_share": 0.71}, "10 terms carry 71 % of the weight of all captions"),
    ],
)
def test_each_way_to_fail_is_named(wrong: dict[str, float], words: str) -> None:
    (warning,) = health_warnings(SOUND | wrong)
    assert words in warning
    assert "FLOPS" in warning  # what to do about it


def test_dying_terms_are_named_with_both_numbers() -> None:
    (warning,) = health_warnings({"text_live_terms": 400.0}, {"text_live_terms": 1000.0})
    assert "400" in warning
    assert "1000" in warning
    assert health_warnings({"text_live_terms": 400.0}) == []


def test_a_lexicon_that_collapses_in_training_is_noticed(lexlip: LexLIP, batch: Batch) -> None:
    with torch.no_grad():
        lexlip.image_head.bias.fill_(-1e4)
        lexlip.image_head.bias[20:25] = 50.0
    views = Views(lexlip, batch, 0.0)
    assert views.image_vectors_NX.shape[0] == 8
    (warning,) = health_warnings({name: value.item() for name, value in health(views).items()})
    assert "10 terms carry 100 % of the weight of all images" in warning
