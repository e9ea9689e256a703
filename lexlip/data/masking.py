"""Whole-word masking for the masked language models."""

import numpy as np

from lexlip.vocabulary import Vocabulary

NOT_MASKED = -100


def mask_whole_words(
    token_ids_BL: np.ndarray, word_index_BL: np.ndarray, share: float, vocabulary: Vocabulary, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(masked_ids_BL int32, labels_BL int32); labels are -100 where nothing is to be predicted."""
    ...
