"""Whole-word masking for the masked language models (LexLIP, section 3.2; whole words and 80/10/10 as in BERT).

Shape letters: B rows, L tokens.
"""

import numpy as np

from lexlip.vocabulary import Vocabulary

NOT_MASKED = -100  # the label that torch's cross entropy ignores
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stay as they are (BERT, section 3.1)


def mask_whole_words(
    token_ids_BL: np.ndarray, word_index_BL: np.ndarray, share: float, vocabulary: Vocabulary, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hides whole words of each row until about `share` of its tokens are hidden, at least one word a row.

    Args:
        token_ids_BL: int32 ids.
        word_index_BL: the word of each token, -1 where there is none (special tokens, padding); never chosen.
        share: of a row's word tokens, in 0..1.
        vocabulary: of the ids.
        rng: decides; the same state gives the same result.

    Returns:
        masked_ids_BL int32: the ids with [MASK], a random term or the same term at chosen tokens.
        labels_BL int32: the original id at chosen tokens, `NOT_MASKED` elsewhere.
    """
    rows, length = token_ids_BL.shape
    chosen_BL = _choose_words(word_index_BL, share, rng)
    labels_BL = np.where(chosen_BL, token_ids_BL, NOT_MASKED).astype(np.int32)

    draw_BL = rng.random((rows, length))
    random_ids_BL = rng.choice(vocabulary.ordinary_ids, size=(rows, length))
    masked_ids_BL = np.where(chosen_BL & (draw_BL < MASKED_SHARE), vocabulary.mask_id, token_ids_BL)
    to_random_BL = chosen_BL & (draw_BL >= MASKED_SHARE) & (draw_BL < MASKED_SHARE + RANDOM_SHARE)
    return np.where(to_random_BL, random_ids_BL, masked_ids_BL).astype(np.int32), labels_BL


def _choose_words(word_index_BL: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Boolean [B, L]: the tokens of the chosen words."""
    rows, length = word_index_BL.shape
    in_word_BL = word_index_BL >= 0
    # A row has at most L words, so words fit an array [B, L] too: the tokens of each, in a random order of words.
    sizes_BL = np.zeros((rows, length), dtype=np.int64)
    row_of_token, column_of_token = np.nonzero(in_word_BL)
    word_of_token = word_index_BL[row_of_token, column_of_token]
    np.add.at(sizes_BL, (row_of_token, word_of_token), 1)
    order_BL = np.argsort(np.where(sizes_BL > 0, rng.random((rows, length)), 2.0), axis=1)
    sizes_in_order_BL = np.take_along_axis(sizes_BL, order_BL, axis=1)
    # A word is chosen when its middle lies within the budget: this rounds to the nearest word, neither up nor down.
    middle_BL = np.cumsum(sizes_in_order_BL, axis=1) - sizes_in_order_BL / 2
    within_BL = middle_BL < share * in_word_BL.sum(axis=1, keepdims=True)
    within_BL[:, :1] = True
    chosen_words_BL = np.zeros((rows, length), dtype=bool)
    np.put_along_axis(chosen_words_BL, order_BL, within_BL & (sizes_in_order_BL > 0), axis=1)

    chosen_BL = np.zeros((rows, length), dtype=bool)
    chosen_BL[row_of_token, column_of_token] = chosen_words_BL[row_of_token, word_of_token]
    return chosen_BL
