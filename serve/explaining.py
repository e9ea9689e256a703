"""Why a picture was found, in whole words: pieces that the vocabulary split are put together again."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lexlip.vocabulary import Vocabulary

Field = Literal["lexicon", "captions"]


class QueryWord(NamedTuple):
    """One word of a query and where its pieces stand among the query's terms.

    Attributes:
        word: as a person reads it.
        columns: indices into the query's terms.
        weight: sum of the pieces' weights.
        field: where it is looked for: in what the model sees, or in what people wrote.
    """

    word: str
    columns: tuple[int, ...]
    weight: float
    field: Field = "lexicon"


class WordShare(NamedTuple):
    """What one word of one field added to one score; `share` is its part of the sum of all contributions, 0 to 1."""

    word: str
    contribution: float
    share: float
    field: Field


def group_words(
    vocabulary: Vocabulary, terms: np.ndarray, weights: np.ndarray, spoken: Sequence[tuple[str, Sequence[int]]]
) -> list[QueryWord]:
    """Query terms as words, heaviest first.

    A word that was said (`spoken`: words with their piece ids) takes all its pieces that the query has; a piece in two
    words belongs to the first. Every other term stands for itself.
    """
    # Plain numbers: numpy's cost more than the grouping.
    all_terms, all_weights = terms.tolist(), weights.tolist()
    column_of = {term: column for column, term in enumerate(all_terms)}
    taken: set[int] = set()
    words = []
    for word, pieces in spoken:
        columns = tuple(
            column_of[piece] for piece in dict.fromkeys(pieces) if piece in column_of and column_of[piece] not in taken
        )
        if columns:
            taken.update(columns)
            words.append(QueryWord(word, columns, sum(all_weights[column] for column in columns)))
    words.extend(
        QueryWord(vocabulary.term_of(term), (column,), all_weights[column])
        for column, term in enumerate(all_terms)
        if column not in taken
    )
    return sorted(words, key=lambda word: (-word.weight, word.columns))


def explain_hit(words: Sequence[QueryWord], contributions: np.ndarray) -> list[WordShare]:
    """The words that made up one hit's score, largest first; words without a part in it are left out.

    Args:
        words: the query's words.
        contributions: [T] float32, one per query term.
    """
    # Plain numbers: indexing an array once per word costs ten times as much.
    parts = contributions.tolist()
    sums = [(word, sum(parts[column] for column in word.columns)) for word in words]
    total = sum(value for _, value in sums if value > 0)
    if total <= 0:
        return []
    shares = [WordShare(word.word, value, value / total, word.field) for word, value in sums if value > 0]
    return sorted(shares, key=lambda share: -share.contribution)
