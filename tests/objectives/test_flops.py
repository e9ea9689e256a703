"""FLOPS regularisation: its value, its gradient, and how its weight grows."""

import pytest
import torch

from lexlip.model.lexlip import LexLIP
from lexlip.objectives.flops import Flops, flops
from lexlip.objectives.views import Batch, Views


def test_it_is_the_sum_over_terms_of_the_squared_mean_weight() -> None:
    weights_BV = torch.tensor([[1.0, 0.0, 3.0], [3.0, 0.0, 0.0]], requires_grad=True)
    loss = flops(weights_BV)
    assert loss.item() == 2.0**2 + 0.0**2 + 1.5**2
    loss.backward()
    # d/dx of mean(x)^2 is 2 * mean(x) / rows.
    torch.testing.assert_close(weights_BV.grad, torch.tensor([[2.0, 0.0, 1.5], [2.0, 0.0, 1.5]]))


def test_equal_mass_costs_less_on_different_terms() -> None:
    same, different = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert flops(different) < flops(same)


@pytest.mark.parametrize(
    ("progress", "strength"), [(0.0, 0.0), (0.1, 0.01), (0.25, 0.0625), (0.5, 0.25), (0.75, 0.25), (1.0, 0.25)]
)
def test_the_weight_grows_quadratically_and_then_stays(progress: float, strength: float) -> None:
    assert Flops(weight=0.25, ramp_share=0.5).strength(progress) == pytest.approx(strength)


def test_without_a_ramp_the_weight_is_there_from_the_start() -> None:
    assert Flops(weight=0.25, ramp_share=0.0).strength(0.0) == 0.25


def test_both_modalities_are_regularised_by_their_own_weights(lexlip: LexLIP, batch: Batch) -> None:
    parts = Flops(weight=0.5, ramp_share=1.0)(Views(lexlip, batch, 0.5))
    torch.testing.assert_close(
        parts,
        {
            "flops_image": 0.125 * flops(lexlip.image_vectors(batch.pixels_N3SS)),
            "flops_text": 0.125 * flops(lexlip.text_vectors(batch.token_ids_BL)),
        },
    )
