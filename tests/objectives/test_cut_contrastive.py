"""Contrastive learning of cut vectors, against a plain loop over rows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.model.lexlip import LexLIP
from lexlip.model.term_statistics import TermStatistics
from lexlip.objectives.contrastive import contrastive_loss
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.term_cut import TermCut, most_worthwhile
from lexlip.objectives.views import Batch, Views, normalised


def loop_most_worthwhile(weights_BV: Tensor, terms: int, worth_V: Tensor) -> Tensor:
    """Row by row, weight by weight."""
    rows = []
    for row_V in weights_BV:
        order = sorted(range(len(row_V)), key=lambda term: -(row_V[term] * worth_V[term]).item())
        kept = set(order[:terms])
        rows.append(torch.stack([value if term in kept else value * 0 for term, value in enumerate(row_V)]))
    return torch.stack(rows)


@given(rows=st.integers(1, 4), width=st.integers(1, 12), terms=st.integers(1, 14), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_value_and_gradient_are_those_of_a_loop_over_rows(rows: int, width: int, terms: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights_BV = torch.rand(rows, width, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    worth_V = torch.rand(width, generator=generator, dtype=torch.float64)
    ours = normalised(most_worthwhile(weights_BV, terms, worth_V))
    expected = normalised(loop_most_worthwhile(weights_BV, terms, worth_V))
    torch.testing.assert_close(ours, expected)
    (ours_grad,) = torch.autograd.grad(ours, weights_BV, upstream.float())
    (expected_grad,) = torch.autograd.grad(expected, weights_BV, upstream.float())
    torch.testing.assert_close(ours_grad, expected_grad)


def test_of_equal_weights_no_more_than_the_number_are_kept() -> None:
    assert (most_worthwhile(torch.ones(3, 9), 4, torch.ones(9)) > 0).sum(dim=1).tolist() == [4, 4, 4]


def test_numbers_that_make_no_sense_are_refused() -> None:
    for image, text in ((0, 3), (3, -1)):
        with pytest.raises(ModelError, match="at least one term"):
            TermCut(image, text)
    with pytest.raises(ModelError, match="at least one TermCut"):
        CutContrastive(cuts=())


def test_the_loss_is_the_mean_over_the_cuts(lexlip: LexLIP, batch: Batch) -> None:
    views, terms = Views(lexlip, batch, 1.0), len(lexlip.vocabulary)
    generator = torch.Generator().manual_seed(0)
    statistics = TermStatistics(terms)
    units = torch.rand(9, terms, generator=generator), torch.rand(9, terms, generator=generator)
    statistics.follow(units, units)
    lexlip.term_statistics = statistics
    expected = [
        contrastive_loss(
            normalised(loop_most_worthwhile(views.image_vectors_NX, image, statistics.worth_of_image_terms())),
            batch.image_keys_N,
            normalised(loop_most_worthwhile(views.text_vectors_BX, text, statistics.worth_of_text_terms())),
            batch.caption_keys_B,
            0.05,
        )
        for image, text in ((5, 3), (9, 2))
    ]
    found = CutContrastive((TermCut(5, 3), TermCut(9, 2)), weight=0.5)(views)["cut_contrastive"]
    torch.testing.assert_close(found, 0.25 * (expected[0] + expected[1]))
