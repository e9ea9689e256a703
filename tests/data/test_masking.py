"""Whole words are hidden, about as many as asked, 80/10/10 as in BERT."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.data.masking import NOT_MASKED, mask_whole_words
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary((*SPECIAL_TERMS, *LETTERS, *(f"##{letter}" for letter in LETTERS)))


def test_words_are_hidden_as_a_whole() -> None:
    tokens = VOCABULARY.encode(["ab cde f", "ghij", "k l m n o p"], 16)
    rng = np.random.default_rng(0)
    for _ in range(50):
        _, labels = mask_whole_words(tokens.token_ids, tokens.word_index, 0.4, VOCABULARY, rng)
        for row in range(3):
            hidden = labels[row] != NOT_MASKED
            for word in range(int(tokens.word_index[row].max()) + 1):
                assert len(set(hidden[tokens.word_index[row] == word])) == 1
            np.testing.assert_array_equal(labels[row][hidden], tokens.token_ids[row][hidden])


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_the_share_is_kept_on_average(share: float) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["ab", "c", "defg", "h", "ij"], rng.integers(4, 14))) for _ in range(3000)]
    tokens = VOCABULARY.encode(texts, 40)
    masked, labels = mask_whole_words(tokens.token_ids, tokens.word_index, share, VOCABULARY, rng)
    chosen = labels != NOT_MASKED
    assert abs(chosen.sum() / (tokens.word_index >= 0).sum() - share) < 0.02
    assert abs((masked[chosen] == VOCABULARY.mask_id).mean() - 0.8) < 0.02
    assert abs((masked[chosen] == labels[chosen]).mean() - 0.1) < 0.02
    assert not np.isin(masked[chosen & (masked != VOCABULARY.mask_id)], list(VOCABULARY.special_ids)).any()


def test_every_word_is_as_likely() -> None:
    tokens = VOCABULARY.encode(["a b c d e f g h i j"] * 5000, 12)
    _, labels = mask_whole_words(tokens.token_ids, tokens.word_index, 0.3, VOCABULARY, np.random.default_rng(2))
    assert np.abs((labels[:, 1:11] != NOT_MASKED).mean(axis=0) - 0.3).max() < 0.03


def test_at_least_one_word_is_hidden_where_there_is_one() -> None:
    tokens = VOCABULARY.encode(["a", "a b c", "abcdefghij k", ""], 14)
    for share in (0.0, 0.01):
        masked, labels = mask_whole_words(
            tokens.token_ids, tokens.word_index, share, VOCABULARY, np.random.default_rng(3)
        )
        assert ((labels != NOT_MASKED).any(axis=1) == [True, True, True, False]).all()
        np.testing.assert_array_equal(masked[3], tokens.token_ids[3])


def test_an_empty_batch_stays_empty() -> None:
    tokens = VOCABULARY.encode([], 8)
    masked, labels = mask_whole_words(tokens.token_ids, tokens.word_index, 0.3, VOCABULARY, np.random.default_rng(0))
    assert masked.shape == labels.shape == (0, 8)


@given(
    st.lists(st.text(alphabet="abcxyz ", max_size=30), min_size=1, max_size=6), st.floats(0, 1), st.integers(0, 1000)
)
@settings(max_examples=100, deadline=None)
def test_nothing_else_changes(texts: list[str], share: float, seed: int) -> None:
    tokens = VOCABULARY.encode(texts, 16)
    arguments = (tokens.token_ids, tokens.word_index, share, VOCABULARY)
    masked, labels = mask_whole_words(*arguments, np.random.default_rng(seed))
    kept = labels == NOT_MASKED
    np.testing.assert_array_equal(masked[kept], tokens.token_ids[kept])
    assert kept[tokens.word_index < 0].all()
    for first, second in zip((masked, labels), mask_whole_words(*arguments, np.random.default_rng(seed)), strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.int32
