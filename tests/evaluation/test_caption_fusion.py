"""Recall of fused searches is what the formula gives, and the caption that asks is not there to be found."""

import numpy as np
import pytest

from lexlip.errors import DataError
from lexlip.evaluation.caption_fusion import SHARES, evaluate_fusion
from lexlip.evaluation.recall import Recall, ranks_of_right
from lexlip.evaluation.retrieval import RightAnswers, evaluate_sparse
from lexlip.tables import LexiconVector
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

WORDS = [f"w{number}" for number in range(60)]
VOCABULARY = Vocabulary((*SPECIAL_TERMS, *WORDS))
IMAGES = 80


def unit_vector(random: np.random.Generator, size: int) -> LexiconVector:
    weights = random.random(size) + 0.05
    terms = np.sort(random.choice(np.arange(5, len(VOCABULARY)), size, replace=False))
    return LexiconVector(terms.astype(np.int32), (weights / np.linalg.norm(weights)).astype(np.float32))


def bm25_scores(asked: list[str], texts: list[list[str]], k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """Of one query for all documents, over the most that any document can reach."""
    described = [text for text in texts if text]
    mean_length = np.mean([len(text) for text in described])
    scores, most = np.zeros(len(texts)), 0.0
    for word in asked:
        frequency = sum(word in text for text in described)
        idf = np.log(1 + (len(described) - frequency + 0.5) / (frequency + 0.5))
        counts = np.array([text.count(word) for text in texts])
        lengths = np.array([len(text) for text in texts])
        scores += idf * counts / (counts + k1 * (1 - b + b * lengths / mean_length))
        most += idf
    return scores / most


@pytest.fixture(scope="module")
def made() -> tuple[list[LexiconVector], list[list[str]], list[LexiconVector], RightAnswers]:
    """Images with none to four captions of words that some of them share."""
    random = np.random.default_rng(3)
    captions = []
    for number in range(IMAGES):
        own = random.choice(WORDS, 12, replace=False)
        captions.append([" ".join(random.choice(own, random.integers(3, 9))) for _ in range(number % 5)])
    owners = np.array([number for number, texts in enumerate(captions) for _ in texts], np.int64)
    images = [unit_vector(random, 9) for _ in range(IMAGES)]
    return images, captions, [unit_vector(random, 6) for _ in owners], RightAnswers(owners, IMAGES)


def test_every_share_gives_what_the_formula_gives(made: tuple) -> None:
    images, captions, asking, right = made
    texts = [text for own in captions for text in own]
    fusion = evaluate_fusion(images, texts, asking, right, VOCABULARY)
    assert [fused.captions for fused in fusion.shares] == list(SHARES)
    assert fusion.queries == sum(len(own) for own in captions if len(own) > 1)

    expected: dict[float, list[int]] = {share: [] for share in SHARES}
    for turn in range(4):
        known = [[word for place, text in enumerate(own) if place != turn for word in text.split()] for own in captions]
        for number, text in enumerate(texts):
            image = int(right.image_of_caption[number])
            first = int(np.flatnonzero(right.image_of_caption == image)[0])
            if number - first != turn or len(captions[image]) < 2:
                continue
            dense = np.zeros(len(VOCABULARY))
            dense[asking[number].terms] = asking[number].weights
            lexicon = np.array([dense[vector.terms] @ vector.weights for vector in images])
            bm25 = bm25_scores(text.split(), known)
            for share in SHARES:
                scores = (1 - share) * lexicon + share * bm25
                expected[share].append(int(ranks_of_right([scores[None]], [np.array([image])], 0.0)[0]))
    for fused in fusion.shares:
        assert fused.exact == Recall.of_ranks(np.array(expected[fused.captions]))
        assert fused.impacts.r10 == pytest.approx(fused.exact.r10, abs=5)
    assert fusion.shares[-1].exact.r1 > 50, "other captions of a picture say some of the same words"


def test_a_share_of_nothing_is_the_lexicon_alone(made: tuple) -> None:
    images, captions, asking, right = made
    several = [number for number, image in enumerate(right.image_of_caption) if len(captions[image]) > 1]
    texts = [text for own in captions for text in own]
    fusion = evaluate_fusion(images, texts, asking, right, VOCABULARY)
    alone = evaluate_sparse(
        images, [asking[number] for number in several], RightAnswers(right.image_of_caption[several], IMAGES)
    )
    assert fusion.shares[0].exact == alone.text_to_image


def test_one_caption_a_picture_leaves_nothing_to_find() -> None:
    vector = LexiconVector(np.array([6], np.int32), np.ones(1, np.float32))
    with pytest.raises(DataError, match="no picture has two captions"):
        evaluate_fusion([vector], ["w1 w2"], [vector], RightAnswers(np.array([0]), 1), VOCABULARY)
