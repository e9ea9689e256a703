"""The weakened decoder: what reaches it through the bottleneck, and what does not."""

import pytest
import torch
from torch import Tensor

from lexlip.model.decoder import DECODER_LAYERS, bottleneck
from lexlip.model.lexlip import LexLIP


@pytest.fixture
def masked_ids(lexlip: LexLIP) -> Tensor:
    terms = lexlip.vocabulary
    return torch.tensor([[terms.cls_id, 9, terms.mask_id, 11, terms.sep_id], [terms.cls_id, 12, terms.sep_id, 0, 0]])


def test_the_bottleneck_is_a_mixture_of_word_embeddings() -> None:
    pooled_BV = torch.tensor([[0.0, 0.0, -float("inf")], [100.0, 0.0, -float("inf")]])
    embeddings_VD = torch.tensor([[2.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
    torch.testing.assert_close(bottleneck(pooled_BV, embeddings_VD), torch.tensor([[1.0, 2.0], [2.0, 0.0]]))


def test_word_embeddings_get_no_gradient_through_the_bottleneck() -> None:
    pooled_BV = torch.randn(2, 5, requires_grad=True)
    embeddings_VD = torch.randn(5, 3, requires_grad=True)
    bottleneck(pooled_BV, embeddings_VD).square().sum().backward()
    assert pooled_BV.grad is not None
    assert pooled_BV.grad.abs().sum() > 0
    assert embeddings_VD.grad is None


def test_the_decoder_is_two_layers_and_has_no_words_of_its_own(lexlip: LexLIP) -> None:
    assert len(lexlip.decoder.layers) == DECODER_LAYERS == 2
    assert all(len(lexlip.vocabulary) not in parameter.shape for parameter in lexlip.decoder.parameters())


def test_position_zero_holds_the_bottleneck_and_not_a_token(lexlip: LexLIP, masked_ids: Tensor) -> None:
    bottleneck_BD = torch.randn(2, lexlip.text_tower.width)
    states = lexlip.decode_masked(bottleneck_BD, masked_ids)
    other_first = masked_ids.clone()
    other_first[:, 0] = 17
    torch.testing.assert_close(lexlip.decode_masked(bottleneck_BD, other_first), states, rtol=0, atol=0)
    moved = lexlip.decode_masked(torch.randn_like(bottleneck_BD), masked_ids)
    assert ((moved - states).abs().amax(dim=-1)[masked_ids != 0] > 0).all()  # every real token sees it


def test_the_decoder_ignores_padding(lexlip: LexLIP, masked_ids: Tensor) -> None:
    bottleneck_BD = torch.randn(2, lexlip.text_tower.width)
    together = lexlip.decode_masked(bottleneck_BD, masked_ids)
    alone = lexlip.decode_masked(bottleneck_BD[1:], masked_ids[1:, :3])
    torch.testing.assert_close(together[1:, :3], alone)
