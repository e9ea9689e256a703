"""A query encoder without a network: what it makes of a text, and how it is stored."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lexlip.errors import ModelError, VocabularyError
from lexlip.model.query_lookup import LOOKUP_FILE, QueryLookup, inverse_document_frequency
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_TERMS, "a", "red", "blue", "boat", "##s"))
WEIGHTS = {"red": 3.0, "blue": 2.0, "boat": 4.0, "##s": 1.0}


@pytest.fixture
def lookup() -> QueryLookup:
    return QueryLookup(VOCABULARY, np.array([WEIGHTS.get(term, 0.0) for term in VOCABULARY.terms], np.float32))


def weights_of(lookup: QueryLookup, text: str, top_terms: int | None = None) -> dict[str, float]:
    (vector,) = lookup.encode_text([text], top_terms=top_terms)
    assert list(vector.terms) == sorted(vector.terms)
    return {VOCABULARY.term_of(int(term)): float(weight) for term, weight in zip(*vars(vector).values(), strict=True)}


def test_a_text_is_its_terms_with_their_weights_at_unit_length(lookup: QueryLookup) -> None:
    assert weights_of(lookup, "a red boat, red!") == pytest.approx({"red": 0.6, "boat": 0.8})
    length = 30**0.5
    expected = {"red": 3 / length, "blue": 2 / length, "boat": 4 / length, "##s": 1 / length}
    assert weights_of(lookup, "red blue boats") == pytest.approx(expected)


def test_cut_to_the_heaviest_terms_before_it_is_scaled(lookup: QueryLookup) -> None:
    assert weights_of(lookup, "red blue boats", top_terms=2) == pytest.approx({"red": 0.6, "boat": 0.8})


@pytest.mark.parametrize("text", ["", "a", "an unknown thing"])
def test_a_text_without_weighted_terms_is_an_empty_vector(lookup: QueryLookup, text: str) -> None:
    assert weights_of(lookup, text) == {}


def test_rare_terms_weigh_more_and_special_terms_nothing() -> None:
    weights = inverse_document_frequency(VOCABULARY, ["a red boat", "a blue boat", "a boat", "a red red sea"])
    found = dict(zip(VOCABULARY.terms, weights.tolist(), strict=True))
    assert found["a"] == 0.0
    assert found["boat"] == pytest.approx(np.log(5 / 4))
    assert found["red"] == pytest.approx(np.log(5 / 3))
    assert found["blue"] == pytest.approx(np.log(5 / 2))
    assert found["##s"] == pytest.approx(np.log(5))
    assert all(found[term] == 0.0 for term in SPECIAL_TERMS)


def test_saved_and_loaded_it_is_the_same(lookup: QueryLookup, tmp_path: Path) -> None:
    lookup.save(tmp_path / "lookup")
    loaded = QueryLookup.load(tmp_path / "lookup")
    assert loaded.vocabulary == VOCABULARY
    assert np.array_equal(loaded.weights_V, lookup.weights_V)
    assert not list((tmp_path / "lookup").glob("*.tmp*"))


def test_what_cannot_be_read_says_so(lookup: QueryLookup, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        QueryLookup.load(tmp_path)
    lookup.save(tmp_path)
    Vocabulary((*SPECIAL_TERMS, "other", "terms", "of", "equal", "number")).save(tmp_path)
    with pytest.raises(VocabularyError, match=LOOKUP_FILE):
        QueryLookup.load(tmp_path)
    facts = {"format_version": 99, "vocabulary_fingerprint": VOCABULARY.fingerprint}
    save_file({"weights": lookup.weights_V}, tmp_path / LOOKUP_FILE, {"lexlip": json.dumps(facts)})
    with pytest.raises(ModelError, match="format version 99"):
        QueryLookup.load(tmp_path)
    (tmp_path / LOOKUP_FILE).write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be read"):
        QueryLookup.load(tmp_path)
    with pytest.raises(ModelError, match="3 weights for a vocabulary of 10 terms"):
        QueryLookup(VOCABULARY, np.ones(3, np.float32))
