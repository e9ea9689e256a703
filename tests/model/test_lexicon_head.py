"""Lexicon heads: tied and untied projections, and what turns logits into weights."""

import torch
from torch import nn
from torch.nn import functional

from lexlip.model.lexicon_head import LexiconHead, MaskedLMTransform, ResidualTransform, lexicon_weights
from lexlip.model.lexlip import LexLIP

WIDTH, TERMS = 6, 11


def test_weights_are_log_of_one_plus_the_positive_part() -> None:
    pooled = torch.tensor([[-float("inf"), -2.0, 0.0, 1.0, 9.0]])
    assert lexicon_weights(pooled).tolist()[0] == torch.tensor([0.0, 0.0, 0.0, 1.0, 9.0]).log1p().tolist()


def test_pooled_logits_are_the_maximum_of_single_logits() -> None:
    head = LexiconHead(MaskedLMTransform(WIDTH), nn.Parameter(torch.randn(TERMS, WIDTH)), bias=-0.5)
    hidden_BTD = torch.randn(2, 3, WIDTH)
    singles_BTV = head.logits(hidden_BTD.reshape(-1, WIDTH)).view(2, 3, TERMS)
    torch.testing.assert_close(head(hidden_BTD), singles_BTV.max(dim=1).values)


def test_the_transform_of_a_masked_lm_is_dense_gelu_norm() -> None:
    transform = MaskedLMTransform(WIDTH)
    hidden = torch.randn(4, WIDTH)
    dense = functional.gelu(hidden @ transform.dense.weight.T + transform.dense.bias)
    expected = (dense - dense.mean(-1, keepdim=True)) / (dense.var(-1, unbiased=False, keepdim=True) + 1e-12).sqrt()
    torch.testing.assert_close(transform(hidden), expected)


def test_the_residual_transform_starts_as_the_identity() -> None:
    hidden = torch.randn(4, WIDTH)
    torch.testing.assert_close(ResidualTransform(WIDTH)(hidden), hidden, rtol=0, atol=0)


def test_an_untied_copy_has_the_same_values_and_its_own_memory() -> None:
    head = LexiconHead(ResidualTransform(WIDTH), nn.Parameter(torch.randn(TERMS, WIDTH)), bias=-1.0)
    copied = head.untied_copy()
    hidden_BTD = torch.randn(2, 3, WIDTH)
    torch.testing.assert_close(copied(hidden_BTD), head(hidden_BTD), rtol=0, atol=0)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1.0)
    assert not any((ours == theirs).all() for ours, theirs in zip(copied.parameters(), head.parameters(), strict=True))


def test_the_text_head_projects_onto_the_word_embeddings_themselves(lexlip: LexLIP) -> None:
    embeddings = lexlip.text_tower.word_embeddings
    assert lexlip.text_head.projection is embeddings
    assert lexlip.image_head.projection is not embeddings
    states_BLD = torch.randn(1, 4, lexlip.text_tower.width)
    (gradient,) = torch.autograd.grad(lexlip.text_head(states_BLD).sum(), embeddings)
    # Each term's row gets the state that scored highest for it.
    assert gradient.abs().sum(dim=1).min() > 0


def test_special_terms_are_never_said(lexlip: LexLIP) -> None:
    special = sorted(lexlip.vocabulary.special_ids)
    pooled_BV = lexlip.pool_text(torch.tensor([[lexlip.vocabulary.cls_id, 7, lexlip.vocabulary.sep_id]]))
    assert (pooled_BV[:, special] == -float("inf")).all()
    assert pooled_BV.isfinite().sum() == len(lexlip.vocabulary) - len(special)
