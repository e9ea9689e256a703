"""The ring of sparse keys against a plain list of dense ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexlip.objectives import key_queue
from lexlip.objectives.key_queue import NO_IMAGE, KeyQueue

WIDTH = 12


def sparse_keys(rows: int, terms: int, seed: int = 0) -> Tensor:
    """Non-negative rows with at most `terms` entries; halves and quarters, which half precision keeps exactly."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 5, (rows, WIDTH), generator=generator) / 4.0
    places = torch.rand(rows, WIDTH, generator=generator).argsort(dim=1) < terms
    return values * places


def dense_entries(queue: KeyQueue) -> Tensor:
    return torch.zeros(len(queue.terms_QK), WIDTH).scatter_(1, queue.terms_QK.long(), queue.weights_QK.float())


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), entries=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_the_queue_holds_the_last_keys_whatever_the_sizes_of_batches(sizes: list[int], entries: int) -> None:
    queue = KeyQueue(entries, 3, WIDTH)
    pushed: list[tuple[Tensor, int]] = []
    for number, size in enumerate(sizes):
        keys, images = sparse_keys(size, 3, number), torch.arange(size) + 100 * number
        queue.push(keys, images)
        pushed += zip(keys, images.tolist(), strict=True)
    held = {image: entry for entry, image in zip(dense_entries(queue), queue.image_keys_Q.tolist(), strict=True)}
    expected = {image: key for key, image in pushed[-entries:]}
    assert {image for image in held if image != NO_IMAGE} == set(expected)
    for image, key in expected.items():
        torch.testing.assert_close(held[image], key, rtol=0, atol=0)


def test_the_oldest_entry_is_overwritten_first_across_the_end_of_the_ring() -> None:
    queue = KeyQueue(4, 2, WIDTH)
    queue.push(sparse_keys(3, 2), torch.tensor([10, 11, 12]))
    queue.push(sparse_keys(3, 2), torch.tensor([13, 14, 15]))
    assert queue.image_keys_Q.tolist() == [14, 15, 12, 13]
    assert queue.cursor.item() == 2


def test_the_heaviest_entries_of_a_key_are_kept() -> None:
    queue = KeyQueue(1, 2, 4)
    queue.push(torch.tensor([[0.25, -0.75, 0.5, 0.0]]), torch.tensor([1]))
    torch.testing.assert_close(queue.scores(torch.eye(4)).flatten(), torch.tensor([0.0, -0.75, 0.5, 0.0]))


@pytest.mark.parametrize("chunk", [1, 2, 5, 512])
def test_scores_and_their_gradient_are_those_of_dense_keys(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_queue, "CHUNK_ENTRIES", chunk)
    queue = KeyQueue(5, 3, WIDTH)
    queue.push(sparse_keys(5, 3), torch.arange(5))
    queries_BX = torch.randn(4, WIDTH, requires_grad=True)
    expected_BQ = queries_BX @ dense_entries(queue).T
    scores_BQ = queue.scores(queries_BX)
    torch.testing.assert_close(scores_BQ, expected_BQ)
    upstream = torch.randn(4, 5)
    (ours,) = torch.autograd.grad(scores_BQ, queries_BX, upstream)
    (theirs,) = torch.autograd.grad(expected_BQ, queries_BX, upstream)
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_is_that_of_the_keys_scored_even_when_the_queue_has_moved_on() -> None:
    queue = KeyQueue(3, 3, WIDTH)
    queue.push(sparse_keys(3, 3), torch.arange(3))
    scored = dense_entries(queue)
    queries_BX = torch.randn(2, WIDTH, requires_grad=True)
    scores_BQ = queue.scores(queries_BX)
    queue.push(sparse_keys(3, 3, seed=9), torch.arange(3))
    (gradient,) = torch.autograd.grad(scores_BQ.sum(), queries_BX)
    torch.testing.assert_close(gradient, scored.sum(dim=0).expand(2, -1))


def test_under_autocast_scores_and_gradients_are_in_single_precision() -> None:
    queue = KeyQueue(3, 3, WIDTH)
    queue.push(sparse_keys(3, 3), torch.arange(3))
    queries_BX = torch.randn(2, WIDTH, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        scores_BQ = queue.scores(queries_BX)
    torch.testing.assert_close(scores_BQ, queries_BX @ dense_entries(queue).T)
    (gradient,) = torch.autograd.grad(scores_BQ.sum(), queries_BX)
    assert gradient.dtype == torch.float32


def test_empty_entries_and_those_of_the_same_image_are_unusable() -> None:
    queue = KeyQueue(4, 2, WIDTH)
    queue.push(sparse_keys(3, 2), torch.tensor([7, 8, 7]))
    unusable = queue.unusable(torch.tensor([7, 9]))
    assert unusable.tolist() == [[True, False, True, True], [False, False, False, True]]


def test_a_batch_that_ends_beyond_the_ring_goes_on_at_its_start_and_nothing_of_it_is_lost() -> None:
    # The published code writes what fits before the end, drops the rest and starts again at 0.
    queue = KeyQueue(5, 3, WIDTH)
    pushed: list[tuple[int, Tensor]] = []
    for number, size in enumerate((3, 4, 4, 2)):  # wraps in the second, third and fourth batch
        keys = sparse_keys(size, 3, number)
        queue.push(keys, torch.arange(size) + 10 * number)
        pushed += list(zip((torch.arange(size) + 10 * number).tolist(), keys, strict=True))
        newest_first = [(int(queue.cursor) - 1 - back) % 5 for back in range(min(5, len(pushed)))]
        assert [queue.image_keys_Q[place].item() for place in newest_first] == [image for image, _ in pushed[:-6:-1]]
        for place, (_, key) in zip(newest_first, pushed[:-6:-1], strict=True):
            torch.testing.assert_close(dense_entries(queue)[place], key, rtol=0, atol=0)


def test_more_keys_than_entries_leave_the_last_ones_in_order() -> None:
    queue = KeyQueue(4, 2, WIDTH)
    queue.push(sparse_keys(3, 2), torch.tensor([1, 2, 3]))
    queue.push(sparse_keys(9, 2), torch.arange(10, 19))
    start = int(queue.cursor)
    assert [queue.image_keys_Q[(start + place) % 4].item() for place in range(4)] == [15, 16, 17, 18]


def test_keys_with_fewer_terms_than_the_queue_keeps_score_the_same() -> None:
    queue = KeyQueue(3, 6, WIDTH)
    keys = sparse_keys(3, 2)
    keys[1] = 0.0  # an empty vector
    queue.push(keys, torch.arange(3))
    queries_BX = torch.randn(2, WIDTH)
    torch.testing.assert_close(queue.scores(queries_BX), queries_BX @ keys.T)


def test_a_published_queue_takes_six_bytes_an_entry_s_term() -> None:
    queue = KeyQueue(64, 256, 30_522)
    stored = sum(value.nbytes for value in (queue.terms_QK, queue.weights_QK))
    assert stored == 64 * 256 * 6
    assert stored < 64 * 30_522 * 4 / 75  # dense, in single precision
