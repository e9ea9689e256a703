"""Hidden tokens: how many, which ones never, and that nothing else of a batch changes."""

import pytest
import torch
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.objectives.tower_memory import Remembered
from lexlip.objectives.views import Batch
from lexlip.vocabulary import Vocabulary

IMAGES, TOKENS, CAPTIONS, LENGTH, WIDTH = 8, 10, 400, 12, 3


@pytest.fixture
def batch(vocabulary: Vocabulary) -> Batch:
    """Captions of ten words between the two special terms."""
    torch.manual_seed(0)
    ids_BL = torch.randint(len(vocabulary) // 2, len(vocabulary), (CAPTIONS, LENGTH))
    ids_BL[:, 0], ids_BL[:, -1] = vocabulary.cls_id, vocabulary.sep_id
    keys = torch.arange(IMAGES)
    return Batch(torch.zeros(IMAGES, 3, 1, 1), keys, ids_BL, keys.repeat_interleave(50), ids_BL, ids_BL, ids_BL, ids_BL)


@pytest.fixture
def remembered() -> Remembered:
    tokens_NTD = torch.arange(IMAGES * TOKENS * WIDTH, dtype=torch.float32).view(IMAGES, TOKENS, WIDTH)
    return Remembered(
        tokens_NTD, torch.randn(CAPTIONS, LENGTH, WIDTH), (), (torch.randn(IMAGES, 4), torch.randn(CAPTIONS, 4))
    )


def words_left(batch: Batch, vocabulary: Vocabulary) -> Tensor:
    return (batch.token_ids_BL != vocabulary.pad_id).sum(dim=1) - 2


def test_images_keep_as_many_of_their_own_tokens_as_is_said(
    batch: Batch, remembered: Remembered, vocabulary: Vocabulary
) -> None:
    _, left = TokenDropout(image_share=0.7)(batch, remembered, vocabulary)
    assert left.image_tokens_NTD.shape == (IMAGES, 3, WIDTH)
    for before_TD, after_TD in zip(remembered.image_tokens_NTD, left.image_tokens_NTD, strict=True):
        assert len({tuple(row) for row in after_TD.tolist()} & {tuple(row) for row in before_TD.tolist()}) == 3


def test_captions_lose_other_words_each_and_never_what_is_no_word(
    batch: Batch, remembered: Remembered, vocabulary: Vocabulary
) -> None:
    shown, _ = TokenDropout(text_share=0.2)(batch, remembered, vocabulary)
    kept_BL = shown.token_ids_BL != vocabulary.pad_id
    assert torch.equal(shown.token_ids_BL[kept_BL], batch.token_ids_BL[kept_BL])
    assert kept_BL[:, 0].all()
    assert kept_BL[:, -1].all()
    left_B = words_left(shown, vocabulary).float()
    assert left_B.mean().item() == pytest.approx(8.0, abs=0.3)
    assert left_B.max() == 10, "some captions stay whole"
    assert left_B.min() < 6, "of others only fragments are left"


def test_everything_else_stays_and_nothing_is_dropped_at_zero(
    batch: Batch, remembered: Remembered, vocabulary: Vocabulary
) -> None:
    shown, left = TokenDropout(0.5, 0.2)(batch, remembered, vocabulary)
    assert left.teacher_vectors is remembered.teacher_vectors
    assert left.text_states_BLD is remembered.text_states_BLD
    assert shown.image_keys_N is batch.image_keys_N
    shown, left = TokenDropout(0.0, 0.0)(batch, remembered, vocabulary)
    assert torch.equal(shown.token_ids_BL, batch.token_ids_BL)
    assert torch.equal(left.image_tokens_NTD.sort(dim=1).values, remembered.image_tokens_NTD)


def test_a_token_is_always_left(batch: Batch, remembered: Remembered, vocabulary: Vocabulary) -> None:
    _, left = TokenDropout(image_share=0.99)(batch, remembered, vocabulary)
    assert left.image_tokens_NTD.shape[1] == 1


@pytest.mark.parametrize("shares", [(1.0, 0.2), (-0.1, 0.2), (0.5, 0.6), (0.5, -0.1)])
def test_shares_that_make_no_sense_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ModelError, match="image_share has to lie in"):
        TokenDropout(*shares)
