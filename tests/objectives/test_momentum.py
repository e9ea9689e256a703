"""Momentum contrastive learning against a plain loop with an explicit dense queue."""

import pytest
import torch
from torch import Tensor

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.key_queue import KeyQueue
from lexlip.objectives.momentum import MomentumContrastive, MomentumEncoder, MomentumSettings, momentum_loss
from lexlip.objectives.views import Batch, Views, normalised

SETTINGS = MomentumSettings(decay=0.75, queue=6, key_terms=1000)  # more terms than there are: nothing is cut off


def loop_momentum(
    queries: Tensor, query_keys: list[int], batch_keys: list[tuple[Tensor, int]], queue: list[tuple[Tensor, int]]
) -> Tensor:
    """Every query against every momentum key of its image; negatives are all keys of other images, old and new."""
    losses = []
    for query, image in zip(queries, query_keys, strict=True):
        score = {id(key): query @ key / 0.05 for key, _ in batch_keys + queue}
        negatives = [score[id(key)] for key, other in batch_keys + queue if other != image]
        losses += [
            torch.logsumexp(torch.stack([score[id(key)], *negatives]), dim=0) - score[id(key)]
            for key, other in batch_keys
            if other == image
        ]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("filled", [0, 4, 9])
def test_loss_and_gradient_are_those_of_a_plain_loop(filled: int) -> None:
    terms, query_images, key_images = 20, [1, 2, 2, 3], [1, 1, 2, 3, 5]
    queries = normalised(torch.rand(len(query_images), terms)).requires_grad_()
    keys = normalised(torch.rand(len(key_images), terms))
    # The queue keeps half precision; the plain loop gets the same values.
    past = normalised(torch.rand(filled, terms)).half().float()
    past_images = [number % 4 for number in range(filled)]
    queue = KeyQueue(6, terms, terms)
    queue.push(past, torch.tensor(past_images, dtype=torch.int64))
    loss = momentum_loss(queries, torch.tensor(query_images), keys, torch.tensor(key_images), queue, 0.05)
    expected = loop_momentum(
        queries,
        query_images,
        list(zip(keys, key_images, strict=True)),
        list(zip(past, past_images, strict=True))[-6:],
    )
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    (ours,), (theirs,) = torch.autograd.grad(loss, queries), torch.autograd.grad(expected, queries)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_step_compares_both_modalities_with_keys_of_the_other(lexlip: LexLIP, batch: Batch) -> None:
    momentum = MomentumEncoder(lexlip, SETTINGS, len(lexlip.vocabulary)).eval()
    momentum.remember(momentum.keys(batch))
    keys = momentum.keys(batch)
    loss = MomentumContrastive(weight=2.0)(Views(lexlip, batch, 0.0, keys))["momentum_contrastive"]
    images, texts = keys.image_keys_K.tolist(), keys.text_keys_K.tolist()
    image_to_text = loop_momentum(
        normalised(lexlip.image_vectors(batch.pixels_N3SS)),
        images,
        list(zip(keys.texts_KX, texts, strict=True)),
        list(zip(keys.texts_KX, texts, strict=True))[-6:],
    )
    text_to_image = loop_momentum(
        normalised(lexlip.text_vectors(batch.token_ids_BL)),
        texts,
        list(zip(keys.images_KX, images, strict=True)),
        list(zip(keys.images_KX, images, strict=True))[-6:],
    )
    torch.testing.assert_close(loss, image_to_text + text_to_image, rtol=1e-3, atol=1e-3)


def test_the_average_moves_towards_the_model_and_learns_nothing_itself(lexlip: LexLIP, batch: Batch) -> None:
    momentum = MomentumEncoder(lexlip, SETTINGS, len(lexlip.vocabulary))
    before = {name: value.clone() for name, value in momentum.average.named_parameters()}
    with torch.no_grad():
        for parameter in lexlip.parameters():
            parameter.add_(torch.rand_like(parameter))
    momentum.follow(lexlip)
    now = dict(lexlip.named_parameters())
    for name, average in momentum.average.named_parameters():
        torch.testing.assert_close(average, 0.75 * before[name] + 0.25 * now[name].detach())
        assert not average.requires_grad
    assert not momentum.keys(batch).images_KX.requires_grad


def test_the_average_keeps_no_decoder_and_its_own_tied_embeddings(lexlip: LexLIP) -> None:
    average = MomentumEncoder(lexlip, SETTINGS, len(lexlip.vocabulary)).average
    assert not any("decoder" in name for name, _ in average.named_parameters())
    assert average.text_head.projection is average.text_tower.word_embeddings
    assert average.text_head.projection is not lexlip.text_head.projection


def test_buffers_are_taken_over(lexlip: LexLIP) -> None:
    lexlip.image_tower.add_module("statistics", torch.nn.BatchNorm1d(3))
    momentum = MomentumEncoder(lexlip, SETTINGS, len(lexlip.vocabulary))
    lexlip.image_tower.statistics.running_mean.fill_(4.0)
    momentum.follow(lexlip)
    assert momentum.average.image_tower.statistics.running_mean.tolist() == [4.0, 4.0, 4.0]


def test_keys_of_lexicon_models_are_cut_and_those_of_dense_models_kept_whole(lexlip: LexLIP, clip: DenseCLIP) -> None:
    settings = MomentumSettings(queue=5, key_terms=7)
    assert MomentumEncoder(lexlip, settings, len(lexlip.vocabulary)).image_queue.terms_QK.shape == (5, 7)
    assert MomentumEncoder(clip, settings, 16).image_queue.terms_QK.shape == (5, 16)


def test_a_phase_without_momentum_settings_says_what_is_missing(lexlip: LexLIP, batch: Batch) -> None:
    with pytest.raises(ValueError, match="needs MomentumSettings"):
        MomentumContrastive()(Views(lexlip, batch, 0.0))
