"""Zero-shot classification by the mean of a class's sentences."""

import numpy as np
import pytest

from lexlip.evaluation.classification import classify, mean_lexicon
from lexlip.tables import LexiconVector


def vector(**weights: float) -> LexiconVector:
    ordered = sorted((int(term[1:]), weight) for term, weight in weights.items())
    return LexiconVector(
        np.array([term for term, _ in ordered], np.int32), np.array([weight for _, weight in ordered], np.float32)
    )


def test_the_mean_of_sentences_has_the_words_of_all_and_unit_length() -> None:
    mean = mean_lexicon([vector(t1=1.0), vector(t1=0.6, t3=0.8)])
    assert mean.terms.tolist() == [1, 3]
    np.testing.assert_allclose(mean.weights, np.array([1.6, 0.8]) / np.hypot(1.6, 0.8), atol=1e-6)


def test_lexicon_and_dense_vectors_are_classified_alike() -> None:
    images = [vector(t0=0.9, t1=0.1), vector(t2=1.0), vector(t0=0.2, t1=0.8)]
    sentences = [[vector(t0=1.0)], [vector(t1=1.0), vector(t1=0.9, t2=0.1)], [vector(t4=1.0)]]
    labels = [np.array([0]), np.array([2]), np.array([1, 2])]
    found = classify(images, sentences, labels)
    # The second picture shares no word with its class; two of three are right.
    assert found.top1 == pytest.approx(66.67)
    assert (found.images, found.classes) == (3, 3)

    def dense(one: LexiconVector) -> np.ndarray:
        full = np.zeros(5, np.float32)
        full[one.terms] = one.weights
        return full

    twin = classify(
        np.stack([dense(image) for image in images]),
        [np.stack([dense(sentence) for sentence in row]) for row in sentences],
        labels,
    )
    assert twin.top1 == found.top1
    assert twin.top5 == 100.0
