"""Masked language modelling and the bottleneck, against cross-entropies over all logits."""

import pytest
import torch
from torch.nn import functional

from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.decoder import bottleneck
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.masked_lm import NOT_MASKED, SelfMaskedLM, masked_lm_loss
from lexlip.objectives.views import Batch, Views


def full_cross_entropy(model: LexLIP, states_BLD: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
    """The plain route: logits at every position."""
    logits_BLV = model.text_head.logits(states_BLD)
    return functional.cross_entropy(logits_BLV.flatten(0, 1), labels_BL.flatten(), ignore_index=NOT_MASKED)


def test_masked_positions_alone_give_the_loss_and_gradients_of_all_logits(lexlip: LexLIP, batch: Batch) -> None:
    states_BLD = torch.randn(*batch.token_ids_BL.shape, 32, requires_grad=True)
    labels_BL = batch.encoder_labels_BL
    loss, expected = (
        masked_lm_loss(lexlip.text_head, states_BLD, labels_BL),
        full_cross_entropy(lexlip, states_BLD, labels_BL),
    )
    torch.testing.assert_close(loss, expected)
    inputs = (states_BLD, *lexlip.text_head.parameters())
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_without_a_masked_position_the_loss_is_zero_and_has_a_gradient(lexlip: LexLIP) -> None:
    states_BLD = torch.randn(2, 5, 32, requires_grad=True)
    loss = masked_lm_loss(lexlip.text_head, states_BLD, torch.full((2, 5), NOT_MASKED))
    loss.backward()
    assert loss.item() == 0.0


def test_the_text_encoder_fills_its_own_masks(lexlip: LexLIP, batch: Batch) -> None:
    parts = SelfMaskedLM(weight=0.5)(Views(lexlip, batch, 0.0))
    states_BLD = lexlip.text_states(batch.encoder_masked_ids_BL)
    expected = 0.5 * full_cross_entropy(lexlip, states_BLD, batch.encoder_labels_BL)
    torch.testing.assert_close(parts, {"self_masked_lm": expected})


def test_the_decoder_fills_masks_through_the_caption_s_own_vector(lexlip: LexLIP, batch: Batch) -> None:
    parts = TextBottleneck(weight=2.0)(Views(lexlip, batch, 0.0))
    pooled_BV = lexlip.pool_text(batch.encoder_masked_ids_BL)  # of the lightly masked caption: not of the whole one
    vector_BD = bottleneck(pooled_BV, lexlip.text_tower.word_embeddings)
    states_BLD = lexlip.decode_masked(vector_BD, batch.decoder_masked_ids_BL)
    expected = 2.0 * full_cross_entropy(lexlip, states_BLD, batch.decoder_labels_BL)
    torch.testing.assert_close(parts, {"text_bottleneck": expected})


def test_each_caption_is_filled_through_the_vector_of_its_image(lexlip: LexLIP, batch: Batch) -> None:
    parts = ImageBottleneck()(Views(lexlip, batch, 0.0))
    sums = []
    for caption in range(len(batch.token_ids_BL)):
        image = caption // 2
        vector_BD = bottleneck(
            lexlip.pool_image(batch.pixels_N3SS[image : image + 1]), lexlip.text_tower.word_embeddings
        )
        states_BLD = lexlip.decode_masked(vector_BD, batch.decoder_masked_ids_BL[caption : caption + 1])
        labels_L = batch.decoder_labels_BL[caption]
        sums.append(full_cross_entropy(lexlip, states_BLD, labels_L[None]) * (labels_L != NOT_MASKED).sum())
    expected = torch.stack(sums).sum() / (batch.decoder_labels_BL != NOT_MASKED).sum()
    torch.testing.assert_close(parts, {"image_bottleneck": expected}, rtol=1e-4, atol=1e-5)


def test_the_bottleneck_teaches_the_image_tower(lexlip: LexLIP, batch: Batch) -> None:
    ImageBottleneck()(Views(lexlip, batch, 0.0))["image_bottleneck"].backward()
    for part in (lexlip.image_tower, lexlip.image_head, lexlip.decoder):
        assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in part.parameters())


def test_a_dense_model_has_no_masked_lm(clip: DenseCLIP, batch: Batch) -> None:
    with pytest.raises(ModelError, match="needs a lexicon model, not 'clip'"):
        SelfMaskedLM()(Views(clip, batch, 0.0))
