"""Training through the cut, against a plain loop over rows; and what objectives see of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.model.inference import sparse_rows
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import InBatchContrastive, contrastive_loss
from lexlip.objectives.flops import Flops
from lexlip.objectives.momentum import MomentumEncoder, MomentumSettings
from lexlip.objectives.term_cut import KeptTerms, TermCut, heaviest
from lexlip.objectives.views import Batch, Views, normalised


def loop_heaviest(weights_BV: Tensor, terms: int) -> Tensor:
    """Row by row, weight by weight."""
    rows = []
    for row_V in weights_BV:
        order = sorted(range(len(row_V)), key=lambda term: -row_V[term].item())
        kept = set(order[:terms]) if terms else set(order)
        rows.append(torch.stack([value if term in kept else value * 0 for term, value in enumerate(row_V)]))
    return torch.stack(rows)


@given(rows=st.integers(1, 4), width=st.integers(1, 12), terms=st.integers(0, 14), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_value_and_gradient_are_those_of_a_loop_over_rows(rows: int, width: int, terms: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights_BV = torch.rand(rows, width, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    ours, expected = normalised(heaviest(weights_BV, terms)), normalised(loop_heaviest(weights_BV, terms))
    torch.testing.assert_close(ours, expected)
    (ours_grad,) = torch.autograd.grad(ours, weights_BV, upstream.float())
    (expected_grad,) = torch.autograd.grad(expected, weights_BV, upstream.float())
    torch.testing.assert_close(ours_grad, expected_grad)


def test_of_equal_weights_no_more_than_the_number_are_kept() -> None:
    assert (heaviest(torch.ones(3, 9), 4) > 0).sum(dim=1).tolist() == [4, 4, 4]


def test_choices_are_drawn_from_the_numbers_named_and_repeat_with_the_seed() -> None:
    cut = TermCut(image_terms=(2, 5, 0), text_terms=(1, 3))
    drawn = [cut.draw(np.random.default_rng(seed)) for seed in range(60)]
    assert {kept.image for kept in drawn} == {0, 2, 5}
    assert {kept.text for kept in drawn} == {1, 3}
    assert drawn == [cut.draw(np.random.default_rng(seed)) for seed in range(60)]


@pytest.mark.parametrize("make", [lambda: TermCut(image_terms=()), lambda: TermCut(text_terms=(4, -1))])
def test_numbers_that_make_no_sense_are_refused(make: Callable[[], TermCut]) -> None:
    with pytest.raises(ModelError, match="needs numbers of terms"):
        make()


def test_what_is_compared_in_training_is_what_encoding_makes(lexlip: LexLIP, batch: Batch) -> None:
    views = Views(lexlip, batch, 0.0, kept=KeptTerms(image=5, text=3))
    for trained, whole, terms in (
        (views.image_unit_vectors_NX, lexlip.image_vectors(batch.pixels_N3SS), 5),
        (views.text_unit_vectors_BX, lexlip.text_vectors(batch.token_ids_BL), 3),
    ):
        for row, encoded in zip(trained.detach(), sparse_rows(whole.detach(), terms), strict=True):
            assert len(encoded) == terms
            torch.testing.assert_close(row[torch.from_numpy(encoded.terms).long()], torch.from_numpy(encoded.weights))
            assert (row > 0).sum() == terms


def test_contrastive_learning_sees_cut_vectors_and_flops_whole_ones(lexlip: LexLIP, batch: Batch) -> None:
    whole, cut = (Views(lexlip, batch, 1.0, kept=kept) for kept in (KeptTerms(), KeptTerms(image=5, text=3)))
    expected = contrastive_loss(
        normalised(loop_heaviest(whole.image_vectors_NX, 5)),
        batch.image_keys_N,
        normalised(loop_heaviest(whole.text_vectors_BX, 3)),
        batch.caption_keys_B,
        0.05,
    )
    torch.testing.assert_close(InBatchContrastive()(cut)["contrastive"], expected)
    for name, value in Flops()(whole).items():
        assert torch.equal(Flops()(cut)[name], value)


def test_momentum_keys_are_cut_as_their_batch_is(lexlip: LexLIP, batch: Batch) -> None:
    momentum = MomentumEncoder(lexlip, MomentumSettings(queue=20), len(lexlip.vocabulary)).eval()
    keys = momentum.keys(batch, KeptTerms(image=5, text=3))
    assert (keys.images_KX > 0).sum(dim=1).tolist() == [5] * 8
    assert (keys.texts_KX > 0).sum(dim=1).tolist() == [3] * 16
    torch.testing.assert_close(keys.images_KX.norm(dim=1), torch.ones(8))
