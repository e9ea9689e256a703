"""Explanations and queries speak in whole words, whatever the vocabulary splits."""

import numpy as np
import pytest

from lexlip.errors import QueryError
from lexlip.index.caption_field import CaptionField
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary
from serve.explaining import explain_hit, group_words
from serve.queries import query_of_terms, query_of_vector, with_captions

VOCABULARY = Vocabulary(
    ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "dog", "skate", "##board", "##er", "park")
)


def ids(*terms: str) -> np.ndarray:
    return np.array([VOCABULARY.id_of(term) for term in terms], np.int32)


def test_the_pieces_of_a_split_word_are_explained_as_that_word() -> None:
    terms, weights = ids("dog", "skate", "##board", "park"), np.array([0.5, 0.4, 0.2, 0.1], np.float32)

    words = group_words(VOCABULARY, terms, weights, VOCABULARY.words_of("skateboard dog"))
    shares = explain_hit(words, np.array([0.1, 0.2, 0.1, 0.0], np.float32))

    assert [(word.word, word.columns) for word in words] == [("skateboard", (1, 2)), ("dog", (0,)), ("park", (3,))]
    assert [(share.word, round(share.share, 4)) for share in shares] == [("skateboard", 0.75), ("dog", 0.25)]


def test_a_word_nobody_said_stands_for_itself() -> None:
    query = query_of_vector(VOCABULARY, LexiconVector(ids("dog", "##er"), np.array([0.3, 0.6], np.float32)))

    assert [(word.word, word.columns) for word in query.words] == [("##er", (1,)), ("dog", (0,))]


def test_weighted_terms_become_a_query_and_negative_ones_exclude() -> None:
    query = query_of_terms(VOCABULARY, {"dog": 1.0, "skateboarder": 0.5, "red": -1.0, "park": 0.0})

    assert query.terms.tolist() == ids("dog", "skate", "##board", "##er").tolist()
    assert query.weights.tolist() == [1.0, 0.5, 0.5, 0.5]
    assert [(word.word, word.terms) for word in query.excluded] == [("red", tuple(ids("red")))]


@pytest.mark.parametrize(
    "terms", [{"zebra": 1.0}, {"[CLS]": 1.0}, {"dog": -1.0}, {"dog": 0.0}, {"[UNK]": 1.0}, {"": 1.0}]
)
def test_a_query_that_says_nothing_the_vocabulary_knows_is_refused(terms: dict[str, float]) -> None:
    with pytest.raises(QueryError):
        query_of_terms(VOCABULARY, terms)


def test_the_pieces_of_a_split_word_are_explained_as_that_word_in_captions_too() -> None:
    field = CaptionField(first_term=len(VOCABULARY), mean_length=5.0, full_weight=0.5)
    captions = CaptionStatistics(field, 10, np.full(len(VOCABULARY), 2))
    query = query_of_vector(VOCABULARY, LexiconVector(ids("dog"), np.ones(1, np.float32)), "skateboard dog")

    fused = with_captions(query, captions, 0.5)
    shares = explain_hit(fused.words, np.array([0.1, 0.1, 0.2, 0.1], np.float32))

    assert (fused.terms % len(VOCABULARY)).tolist() == ids("dog", "dog", "skate", "##board").tolist()
    assert [(word.word, word.field, word.columns) for word in fused.words] == [
        ("dog", "lexicon", (0,)),
        ("skateboard", "captions", (2, 3)),
        ("dog", "captions", (1,)),
    ]
    assert [(share.word, share.field, round(share.share, 3)) for share in shares] == [
        ("skateboard", "captions", 0.6),
        ("dog", "lexicon", 0.2),
        ("dog", "captions", 0.2),
    ]
    assert with_captions(query, None, 0.0) is query
