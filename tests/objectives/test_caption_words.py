"""Caption words as a target of the image's lexicon, against counts made in a loop."""

import math

import torch

from lexlip.model.lexlip import LexLIP
from lexlip.objectives.caption_words import CaptionWords, SaidWords, caption_terms
from lexlip.objectives.views import Batch, Views


def test_the_target_is_each_caption_s_words_once_rare_ones_weighing_more() -> None:
    special_V = torch.tensor([True, False, False, False])
    # Two images with two captions each; a word that a caption repeats counts once in it.
    token_ids_BL = torch.tensor([[1, 1, 2], [1, 0, 0], [3, 1, 0], [0, 0, 0]])
    target_NV = caption_terms(token_ids_BL, 2, special_V)
    common, rare = math.log1p(4 / 3), math.log1p(4 / 1)  # in three and in one of four captions
    expected = torch.tensor([[0, 2 * common, rare, 0], [0, common, 0, rare]])
    torch.testing.assert_close(target_NV, expected / expected.sum(dim=1, keepdim=True))


def test_an_image_without_words_has_an_empty_target() -> None:
    target_NV = caption_terms(torch.tensor([[0, 0], [1, 0]]), 1, torch.tensor([True, False]))
    assert target_NV.tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_the_loss_is_a_cross_entropy_over_ordinary_terms(lexlip: LexLIP, batch: Batch) -> None:
    parts = CaptionWords(weight=0.5, scale=2.0)(Views(lexlip, batch, 0.0))
    ordinary = torch.tensor(lexlip.vocabulary.ordinary_ids, dtype=torch.int64)
    target = caption_terms(batch.token_ids_BL, 2, lexlip.special_V)[:, ordinary]
    pooled = lexlip.pool_image(batch.pixels_N3SS)[:, ordinary]
    expected = torch.nn.functional.cross_entropy(2.0 * pooled, target)
    torch.testing.assert_close(parts, {"caption_words": 0.5 * expected})


def test_it_needs_no_text_tower(lexlip: LexLIP, batch: Batch) -> None:
    CaptionWords()(Views(lexlip, batch, 0.0))["caption_words"].backward()
    assert all(parameter.grad is None for parameter in lexlip.text_tower.parameters())
    gradients = [parameter.grad for parameter in lexlip.image_head.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_said_words_are_those_of_an_image_s_captions_and_a_caption_s_own(lexlip: LexLIP, batch: Batch) -> None:
    settings = SaidWords(weight=0.8, last_weight=0.4, scale=2.0)
    parts = settings(Views(lexlip, batch, progress=0.75))  # three quarters of the way from 0.8 to 0.4
    ordinary = torch.tensor(lexlip.vocabulary.ordinary_ids, dtype=torch.int64)
    expected = {}
    for name, pooled, captions in (
        ("image_words", lexlip.pool_image(batch.pixels_N3SS), 2),
        ("text_words", lexlip.pool_text(batch.token_ids_BL), 1),
    ):
        target = caption_terms(batch.token_ids_BL, captions, lexlip.special_V)[:, ordinary]
        expected[name] = 0.5 * torch.nn.functional.cross_entropy(2.0 * pooled[:, ordinary], target)
    torch.testing.assert_close(parts, expected)


def test_only_terms_that_are_shown_or_said_learn_from_said_words(lexlip: LexLIP, batch: Batch) -> None:
    views = Views(lexlip, batch, 0.0)
    pooled = views.image_pooled_NV
    pooled.retain_grad()
    SaidWords()(views)["image_words"].backward()
    said = caption_terms(batch.token_ids_BL, 2, lexlip.special_V) > 0
    assert pooled.grad is not None
    assert not pooled.grad[(pooled <= 0) & ~said].any()
    assert (pooled.grad[said] != 0).all()


def test_little_words_take_no_part_where_words_are_to_tell_something(lexlip: LexLIP, batch: Batch) -> None:
    """As if the vocabulary ended before them."""
    lexlip.little_V.zero_()
    lexlip.little_V[lexlip.vocabulary.ordinary_ids[::2]] = True
    parts = SaidWords(telling=True)(Views(lexlip, batch, 0.0))
    counted = torch.tensor(lexlip.vocabulary.ordinary_ids[1::2], dtype=torch.int64)
    pooled = lexlip.pool_image(batch.pixels_N3SS)[:, counted]
    target = caption_terms(batch.token_ids_BL, 2, lexlip.special_V | lexlip.little_V)[:, counted]
    torch.testing.assert_close(parts["image_words"], torch.nn.functional.cross_entropy(pooled, target))


def test_said_words_come_forward(lexlip: LexLIP, batch: Batch) -> None:
    """A few steps on both heads, by the objective alone."""
    optimiser = torch.optim.Adam([*lexlip.text_head.parameters(), *lexlip.image_head.parameters()], lr=1e-2)
    losses = []
    for _ in range(5):
        parts = SaidWords()(Views(lexlip, batch, 0.0))
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimiser.step()
        losses.append([float(part.detach()) for part in parts.values()])
    for side in zip(*losses, strict=True):
        assert list(side) == sorted(side, reverse=True)
        assert side[-1] < 0.9 * side[0]
