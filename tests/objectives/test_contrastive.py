"""Contrastive learning against loops over pairs: duplicate images, several captions an image, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import InBatchContrastive, contrastive_loss, info_nce_sum, scores
from lexlip.objectives.views import Batch, Views, normalised


def loop_info_nce(scores_QK: Tensor, positives_QK: Tensor) -> tuple[Tensor, int]:
    """Sum over positive pairs of -log(e^p / (e^p + sum of e^n)), pair by pair, and the number of pairs."""
    total, pairs = scores_QK.new_zeros(()), 0
    for query in range(scores_QK.shape[0]):
        negatives = [scores_QK[query, key].exp() for key in range(scores_QK.shape[1]) if not positives_QK[query, key]]
        for key in range(scores_QK.shape[1]):
            if positives_QK[query, key]:
                positive = scores_QK[query, key].exp()
                total = total - torch.log(positive / (positive + sum(negatives)))
                pairs += 1
    return total, pairs


def loop_contrastive(images_NX: Tensor, keys_N: Tensor, texts_BX: Tensor, keys_B: Tensor, temperature: float) -> Tensor:
    scores_NB = images_NX @ texts_BX.T / temperature
    positives_NB = keys_N[:, None] == keys_B[None, :]
    there, pairs = loop_info_nce(scores_NB, positives_NB)
    back, _ = loop_info_nce(scores_NB.T, positives_NB.T)
    return 0.5 * (there + back) / pairs


def unit_rows(rows: int, seed: int) -> Tensor:
    vectors = torch.randn(rows, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (vectors / vectors.norm(dim=1, keepdim=True)).requires_grad_()


@given(
    image_keys=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    captions=st.integers(1, 3),
    temperature=st.sampled_from([0.05, 0.5]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_loss_and_gradients_are_those_of_a_loop_over_pairs(
    image_keys: list[int], captions: int, temperature: float, seed: int
) -> None:
    # Equal keys are the same image drawn twice: its captions are positives of both copies, negatives of none.
    keys_N = torch.tensor(image_keys)
    keys_B = keys_N.repeat_interleave(captions)
    images_NX, texts_BX = unit_rows(len(keys_N), seed), unit_rows(len(keys_B), seed + 1)
    loss = contrastive_loss(images_NX, keys_N, texts_BX, keys_B, temperature)
    expected = loop_contrastive(images_NX, keys_N, texts_BX, keys_B, temperature)
    torch.testing.assert_close(loss, expected)
    inputs = (images_NX, texts_BX)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_one_caption_an_image_gives_the_usual_cross_entropies() -> None:
    keys = torch.arange(6)
    images, texts = unit_rows(6, 1), unit_rows(6, 2)
    logits = images @ texts.T / 0.05
    expected = 0.5 * sum(torch.nn.functional.cross_entropy(matrix, keys) for matrix in (logits, logits.T))
    torch.testing.assert_close(contrastive_loss(images, keys, texts, keys, 0.05), expected)


def test_scores_of_any_size_give_finite_losses() -> None:
    values = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    positives = torch.eye(2, dtype=torch.bool)
    wrong = info_nce_sum(-values, positives)
    assert wrong.item() == pytest.approx(4e4)
    assert info_nce_sum(values, positives).item() == 0.0
    wrong.backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_a_query_without_negatives_costs_nothing() -> None:
    values = torch.randn(2, 3, requires_grad=True)
    loss = info_nce_sum(values, torch.ones(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert values.grad is not None
    assert not values.grad.any()


def test_vectors_of_a_batch_are_normalised_before_they_are_compared(lexlip: LexLIP, batch: Batch) -> None:
    loss = InBatchContrastive(weight=3.0, temperature=0.5)(Views(lexlip, batch, 0.0))["contrastive"]
    images_NX = normalised(lexlip.image_vectors(batch.pixels_N3SS))
    texts_BX = normalised(lexlip.text_vectors(batch.token_ids_BL))
    assert torch.allclose(images_NX.norm(dim=1), torch.ones(8))
    expected = 3.0 * loop_contrastive(images_NX, batch.image_keys_N, texts_BX, batch.caption_keys_B, 0.5)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_the_dense_model_learns_its_temperature(clip: DenseCLIP, batch: Batch) -> None:
    objective = InBatchContrastive(temperature=123.0)
    loss = objective(Views(clip, batch, 0.0))["contrastive"]
    images_NX = normalised(clip.image_vectors(batch.pixels_N3SS))
    texts_BX = normalised(clip.text_vectors(batch.token_ids_BL))
    expected = loop_contrastive(images_NX, batch.image_keys_N, texts_BX, batch.caption_keys_B, 0.07)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)
    loss.backward()
    assert clip.log_temperature.grad is not None
    assert clip.log_temperature.grad.abs().item() > 0


def test_scores_stay_precise_where_towers_run_in_half_precision() -> None:
    queries, keys = (torch.nn.functional.normalize(torch.randn(4, 64), dim=1) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        products = scores(queries, keys, 0.05)
    torch.testing.assert_close(products, queries @ keys.T / 0.05)
    assert math.isclose(scores(queries, queries, 0.05)[0, 0].item(), 20.0, rel_tol=1e-5)
