"""From what a person asked to what the shards are asked: terms with positive weights, and words to leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lexlip.errors import QueryError
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.index.fusion import fuse, said_pieces
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary
from serve.explaining import QueryWord, group_words


@dataclass(frozen=True)
class ExcludedWord:
    """A word whose pictures are left out; `weight` is the negative weight it was given."""

    word: str
    terms: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Query:
    """A query over the vocabulary or, once captions have a share, over both fields of the index.

    Attributes:
        vocabulary: of its terms.
        terms: [T] int32, ascending; those of captions follow, with the size of the vocabulary added.
        weights: [T] float32, positive.
        text: what was asked in words; its words are looked for in captions, without it the terms of the vector.
        named: the words that were asked for by name, with their piece ids.
        excluded: words that no hit may show.
    """

    vocabulary: Vocabulary = field(repr=False)
    terms: np.ndarray
    weights: np.ndarray
    text: str | None = None
    named: tuple[tuple[str, tuple[int, ...]], ...] = ()
    excluded: tuple[ExcludedWord, ...] = ()

    def __len__(self) -> int:
        return len(self.terms)

    @cached_property
    def words(self) -> tuple[QueryWord, ...]:
        """The terms as whole words, heaviest first, those of captions last.

        Shards need none of it, so it is made when it is first looked at: while they search.
        """
        said = self.named if self.text is None else tuple(self.vocabulary.words_of(self.text))
        fields, terms = np.divmod(self.terms, len(self.vocabulary))
        seen = int(np.searchsorted(fields, 1))
        words = group_words(self.vocabulary, terms[:seen], self.weights[:seen], said)
        words += [
            word._replace(columns=tuple(seen + column for column in word.columns), field="captions")
            for word in group_words(self.vocabulary, terms[seen:], self.weights[seen:], said)
        ]
        return tuple(words)


def query_of_vector(vocabulary: Vocabulary, vector: LexiconVector, text: str | None = None) -> Query:
    """A query with an encoded vector; `text` is what it came from, if it was no picture."""
    return Query(vocabulary, np.asarray(vector.terms, np.int32), np.asarray(vector.weights, np.float32), text)


def query_of_terms(vocabulary: Vocabulary, wanted: Mapping[str, float]) -> Query:
    """A query written as terms or words with weights; negative weights exclude, zero weights are left out.

    A word that the vocabulary splits stands for all its pieces, each with the word's weight; it excludes a picture that
    shows all of them. Weights of a term named twice add up.

    Raises:
        QueryError: a word the vocabulary cannot spell, or no positive weight at all.
    """
    weight_of: dict[int, float] = {}
    named, excluded = [], []
    for word, weight in wanted.items():
        pieces = pieces_of(vocabulary, word)
        if weight > 0:
            named.append((word, pieces))
            for piece in pieces:
                weight_of[piece] = weight_of.get(piece, 0.0) + weight
        elif weight < 0:
            excluded.append(ExcludedWord(word, pieces, weight))
    if not weight_of:
        raise QueryError("a query needs at least one term with a weight above zero.")
    terms = np.array(sorted(weight_of), np.int32)
    weights = np.array([weight_of[int(term)] for term in terms], np.float32)
    return Query(vocabulary, terms, weights, None, tuple(named), tuple(excluded))


def with_captions(query: Query, captions: CaptionStatistics | None, share: float) -> Query:
    """The query over both fields of an index, captions having a share of the score.

    Raises:
        QueryError: captions are asked for that the index does not have.
    """
    if share == 0:
        return query
    vector = LexiconVector(query.terms, query.weights)
    said = vector if query.text is None else said_pieces(query.vocabulary, query.text)
    fused = fuse(vector, said, captions, share)
    return replace(query, terms=fused.terms, weights=fused.weights)


def pieces_of(vocabulary: Vocabulary, word: str) -> tuple[int, ...]:
    """The term ids that spell a word: itself when it is a term, else its pieces.

    Raises:
        QueryError: the vocabulary cannot spell it.
    """
    identifier = vocabulary.id_of(word)
    pieces = (
        (identifier,)
        if identifier is not None
        else tuple(dict.fromkeys(piece for _, ids in vocabulary.words_of(word) for piece in ids))
    )
    if not pieces or vocabulary.unknown_id in pieces or vocabulary.special_ids.intersection(pieces):
        raise QueryError(f"the vocabulary has no word {word!r}.")
    return pieces
