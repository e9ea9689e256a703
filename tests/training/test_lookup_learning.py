"""Learning a query lookup against fixed image vectors."""

import numpy as np
import pytest

from lexlip.errors import DataError
from lexlip.model.query_lookup import QueryLookup, inverse_document_frequency
from lexlip.tables import LexiconVector
from lexlip.training.lookup_learning import LookupSettings, learn_lookup
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

ANIMALS = ("cat", "dog", "cow", "hen", "pig", "fox", "owl", "bat")
VOCABULARY = Vocabulary((*SPECIAL_TERMS, "photo", "shiny", *ANIMALS))
SETTINGS = LookupSettings(epochs=30, batch=8, rate=0.1)


def vector(weights: dict[str, float]) -> LexiconVector:
    terms = np.array(sorted(VOCABULARY.terms.index(term) for term in weights), np.int32)
    values = np.array([weights[VOCABULARY.terms[term]] for term in terms], np.float32)
    return LexiconVector(terms, values / np.linalg.norm(values))


# Each animal has its photo. "shiny" is rare, so that idf trusts it, but captions use it of the wrong photos.
IMAGES = [vector({animal: 1.0, "photo": 0.5, **({"shiny": 3.0} if animal in "cat dog" else {})}) for animal in ANIMALS]
CAPTIONS = [[f"photo of a {animal}", f"{animal}" + (" shiny" if animal in "owl bat" else "")] for animal in ANIMALS]


def right_answers(lookup: QueryLookup) -> int:
    right = 0
    for number, own in enumerate(CAPTIONS):
        for query in lookup.encode_text(own):
            weights = dict(zip(query.terms.tolist(), query.weights.tolist(), strict=True))
            scores = [
                sum(
                    weights.get(term, 0.0) * weight
                    for term, weight in zip(image.terms.tolist(), image.weights.tolist(), strict=True)
                )
                for image in IMAGES
            ]
            right += int(np.argmax(scores)) == number
    return right


def test_terms_that_mislead_lose_their_weight() -> None:
    start = QueryLookup(VOCABULARY, inverse_document_frequency(VOCABULARY, [text for own in CAPTIONS for text in own]))
    learned, losses = learn_lookup(VOCABULARY, IMAGES, CAPTIONS, SETTINGS)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert right_answers(learned) == 16 > right_answers(start)
    weight = dict(zip(VOCABULARY.terms, learned.weights_V.tolist(), strict=True))
    assert weight["shiny"] < 0.5 * weight["owl"]
    assert all(weight[term] == 0.0 for term in SPECIAL_TERMS)


def test_the_same_seed_learns_the_same() -> None:
    first, _ = learn_lookup(VOCABULARY, IMAGES, CAPTIONS, LookupSettings(epochs=2, batch=3))
    second, _ = learn_lookup(VOCABULARY, IMAGES, CAPTIONS, LookupSettings(epochs=2, batch=3))
    assert np.array_equal(first.weights_V, second.weights_V)


def test_images_without_captions_take_no_part() -> None:
    undescribed = [*IMAGES, vector({"photo": 1.0})], [*CAPTIONS, []]
    first, _ = learn_lookup(VOCABULARY, *undescribed, LookupSettings(epochs=1))
    second, _ = learn_lookup(VOCABULARY, IMAGES, CAPTIONS, LookupSettings(epochs=1))
    assert np.array_equal(first.weights_V, second.weights_V)
    with pytest.raises(DataError, match=r"1 image\(s\) with captions"):
        learn_lookup(VOCABULARY, IMAGES[:2], [CAPTIONS[0], []])
