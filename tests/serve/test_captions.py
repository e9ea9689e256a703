"""Captions weigh as much as is asked for, are told apart, and are refused where the index has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from lexlip.index import fuse, said_pieces
from lexlip.tables import LexiconVector

if TYPE_CHECKING:
    from conftest import ServedCorpus

QUERY = "two red cars at the beach"


def expected_hits(corpus: ServedCorpus, lexicon: LexiconVector, said: LexiconVector, share: float) -> list[str]:
    index = corpus.open()
    query = fuse(lexicon, said, index.captions, share)
    hits = index.search(query.terms, query.weights, 10)
    return [row["id"] for row in index.stored(hits.positions)]


def found_ids(answer: dict) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


@pytest.mark.parametrize("share", [0.3, 1])
def test_a_text_searches_captions_for_its_words(
    client: httpx.Client, served_corpus: ServedCorpus, share: float
) -> None:
    by_get = client.get("/search", params={"q": QUERY, "captions": share}).json()
    by_post = client.post("/search", json={"text": QUERY, "captions": share}).json()

    model = served_corpus.model
    lexicon = model.encode_text([QUERY], top_terms=32)[0]
    expected = expected_hits(served_corpus, lexicon, said_pieces(model.vocabulary, QUERY), share)
    assert found_ids(by_get) == found_ids(by_post) == expected
    assert found_ids(by_get) != found_ids(client.get("/search", params={"q": QUERY}).json())


def test_a_picture_searches_captions_for_what_it_shows(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    picture = served_corpus.pictures[served_corpus.odd_id]
    by_upload = client.post("/search", files={"image": ("a.jpg", picture)}, data={"captions": "0.5"}).json()
    like_it = client.post("/search", json={"image_id": served_corpus.odd_id, "captions": 0.5, "k": 9}).json()

    vector = served_corpus.model.encode_image([picture], top_terms=32)[0]
    assert found_ids(by_upload) == expected_hits(served_corpus, vector, vector, 0.5)
    index = served_corpus.open()
    own = index.vector(index.position_of(served_corpus.odd_id))
    others = [name for name in expected_hits(served_corpus, own, own, 0.5) if name != served_corpus.odd_id]
    assert found_ids(like_it) == others[:9]


def test_words_of_captions_are_explained_apart_and_whole(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    answer = client.get("/search", params={"q": QUERY, "captions": 0.5, "explain": True}).json()

    said = {word for word, _ in served_corpus.model.vocabulary.words_of(QUERY)}
    fields = set()
    for hit in answer["hits"]:
        assert sum(word["share"] for word in hit["matched"]) == pytest.approx(1)
        assert sum(word["contribution"] for word in hit["matched"]) == pytest.approx(hit["score"], rel=1e-4)
        assert {word["word"] for word in hit["matched"] if word["field"] == "captions"} <= said
        fields.update(word["field"] for word in hit["matched"])
    assert fields == {"lexicon", "captions"}
    plain = client.get("/search", params={"q": QUERY, "explain": True}).json()
    assert {word["field"] for hit in plain["hits"] for word in hit["matched"]} == {"lexicon"}
    assert plain["query"] == answer["query"], "the echo is the lexicon, which a person may edit"


def test_weighted_terms_search_captions_and_still_exclude(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    asked = {"terms": {"red": 1.0, "car": 0.5}, "captions": 0.5, "k": 40}
    every = client.post("/search", json=asked).json()
    index, vocabulary = served_corpus.open(), served_corpus.model.vocabulary
    shown = index.vector(index.position_of(found_ids(every)[0])).terms
    unwanted = next(
        vocabulary.term_of(int(term)) for term in shown if vocabulary.term_of(int(term)) not in asked["terms"]
    )

    fewer = client.post("/search", json={**asked, "terms": {**asked["terms"], unwanted: -1.0}}).json()

    term = vocabulary.id_of(unwanted)
    kept = [name for name in found_ids(every) if term not in index.vector(index.position_of(name)).terms]
    assert found_ids(fewer) == kept


def test_stats_say_what_is_indexed_of_captions(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    facts = client.get("/stats").json()["captions"]

    assert facts["documents"] == len(served_corpus.pictures)
    assert facts["mean_length"] == pytest.approx(served_corpus.captions.mean_length)


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "much"])
def test_what_is_no_share_is_refused(client: httpx.Client, share: str) -> None:
    assert client.get("/search", params={"q": "dog", "captions": share}).status_code == 422


def test_an_index_without_captions_says_so(bare_client: httpx.Client) -> None:
    refused = bare_client.get("/search", params={"q": QUERY, "captions": 0.3})

    assert refused.status_code == 422
    assert "no captions to search in" in refused.json()["detail"]
    assert bare_client.get("/search", params={"q": QUERY}).json()["hits"]
    assert bare_client.get("/stats").json()["captions"] is None
