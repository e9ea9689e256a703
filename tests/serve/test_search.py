"""Searching over HTTP gives what the library gives on one machine, and says why."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from lexlip.tables import LexiconVector
from serve.filters import FieldFilter
from serve.merging import Ranking, merge
from serve.settings import ServeSettings
from serve.shards import ShardQuery, ShardReplica

if TYPE_CHECKING:
    from conftest import ServedCorpus

QUERY = "two red cars at the beach"


def expected_hits(corpus: ServedCorpus, vector: LexiconVector, k: int) -> list[tuple[str, float]]:
    index = corpus.open()
    hits = index.search(vector.terms, vector.weights, k)
    return [
        (row["id"], float(score)) for row, score in zip(index.stored(hits.positions), hits.scores.tolist(), strict=True)
    ]


def found_hits(answer: dict) -> list[tuple[str, float]]:
    return [(hit["id"], hit["score"]) for hit in answer["hits"]]


async def search_twice(replica: ShardReplica, query: ShardQuery) -> Ranking:
    """The same from a thread, where the first search goes, and from the event loop or by several threads after it."""
    first, second = [(await replica.search(query)).ranking for _ in range(2)]
    assert first is not None
    assert second is not None
    assert (first.positions.tolist(), first.scores.tolist()) == (second.positions.tolist(), second.scores.tolist())
    return first


def test_replicas_of_one_shard_and_of_several_answer_alike(served_corpus: ServedCorpus) -> None:
    settings = ServeSettings(str(served_corpus.folder), str(served_corpus.model_folder)).located()
    vector = served_corpus.model.encode_text([QUERY], top_terms=32)[0]
    index = served_corpus.open()
    state = index.manifest.state
    some = tuple(row["id"] for row in index.stored(np.arange(0, index.documents, 2)))
    for filters in ((), (FieldFilter("id", any_of=some),)):
        query = ShardQuery(state, vector.terms, vector.weights, 6, filters=filters)
        found = []
        for groups in (1, 2, served_corpus.shards):
            replicas = [ShardReplica(settings, group, groups) for group in range(groups)]
            best = merge([asyncio.run(search_twice(replica, query)) for replica in replicas], 6)
            found.append((best.positions.tolist(), best.scores.tolist()))
        assert len(found[0][0]) == 6
        assert not filters or all(position % 2 == 0 for position in found[0][0])
        assert found[0] == found[1] == found[2]


def test_texts_are_looked_up_where_there_is_no_text_encoder(looked_up_url: str, served_corpus: ServedCorpus) -> None:
    with httpx.Client(base_url=looked_up_url, timeout=30) as client:
        answer = client.get("/search", params={"q": QUERY, "k": 6}).json()
        ready = client.get("/readyz")
        unknown = client.get("/search", params={"q": "\u4e00"}).json()
    assert "forward" not in answer["took_ms"]
    weights = {term["term"]: term["weight"] for term in answer["query"]["terms"]}
    assert {"red", "beach"} <= set(weights)
    assert len(set(weights.values())) == 1
    terms = sorted(served_corpus.model.vocabulary.id_of(term) for term in weights)
    vector = LexiconVector(np.array(terms, np.int32), np.full(len(terms), next(iter(weights.values())), np.float32))
    assert found_hits(answer) == expected_hits(served_corpus, vector, 6)
    assert ready.json()["status"] == "ready"
    assert unknown["hits"] == []


def test_a_forward_pass_is_a_stage_of_texts_that_are_not_remembered(client: httpx.Client) -> None:
    first, again = (
        client.get("/search", params={"q": "a text never asked before"}).json()["took_ms"] for _ in range(2)
    )
    assert first["forward"] > 0
    assert "forward" not in again


def test_words_find_what_the_index_finds(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    answer = client.get("/search", params={"q": QUERY, "k": 7}).json()

    vector = served_corpus.model.encode_text([QUERY], top_terms=32)[0]
    assert found_hits(answer) == expected_hits(served_corpus, vector, 7)
    assert answer["shards"] == {"total": served_corpus.shards, "ok": served_corpus.shards, "timed_out": 0, "failed": 0}
    assert answer["generation"] == served_corpus.open().manifest.generation
    taken = answer["took_ms"]
    assert taken.keys() - {"forward"} == {"encode", "search", "engine", "merge", "stored", "total"}
    assert taken["total"] == pytest.approx(sum(taken.values()) - taken["total"], abs=0.01)
    assert {term["term"] for term in answer["query"]["terms"]} == {
        served_corpus.model.vocabulary.term_of(int(term)) for term in vector.terms
    }
    assert answer["hits"][0]["fields"].keys() == {"captions", "concepts", "number"}


def test_the_same_query_by_get_and_post_is_the_same(client: httpx.Client) -> None:
    by_get = client.get("/search", params={"q": QUERY}).json()
    by_post = client.post("/search", json={"text": QUERY}).json()

    assert by_get["hits"] == by_post["hits"]


def test_an_uploaded_picture_finds_itself_first(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    picture = served_corpus.pictures[served_corpus.odd_id]
    form = {"k": "5", "explain": "true", "filters": json.dumps({"number": {"max": 30}})}

    answer = client.post("/search", files={"image": ("any.jpg", picture)}, data=form).json()

    assert answer["hits"][0]["id"] == served_corpus.odd_id
    assert all(hit["fields"]["number"] <= 30 and hit["matched"] for hit in answer["hits"])


def test_more_like_a_picture_leaves_the_picture_out(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    answer = client.post("/search", json={"image_id": served_corpus.odd_id, "k": 6}).json()

    index = served_corpus.open()
    own = index.vector(index.position_of(served_corpus.odd_id))
    assert found_hits(answer) == [hit for hit in expected_hits(served_corpus, own, 7) if hit[0] != served_corpus.odd_id]


def test_the_shares_of_an_explained_hit_add_up_to_its_score(client: httpx.Client) -> None:
    for hit in client.get("/search", params={"q": QUERY, "explain": True}).json()["hits"]:
        assert sum(word["share"] for word in hit["matched"]) == pytest.approx(1)
        assert sum(word["contribution"] for word in hit["matched"]) == pytest.approx(hit["score"], rel=1e-4)


def test_an_answers_own_terms_sent_back_give_the_same_ranking(client: httpx.Client) -> None:
    by_text = client.get("/search", params={"q": QUERY}).json()
    terms = {term["term"]: term["weight"] for term in by_text["query"]["terms"]}

    by_terms = client.post("/search", json={"terms": terms}).json()

    assert [hit["id"] for hit in by_terms["hits"]] == [hit["id"] for hit in by_text["hits"]]


def test_a_negative_term_excludes_every_picture_that_shows_it(
    client: httpx.Client, served_corpus: ServedCorpus
) -> None:
    index, vocabulary = served_corpus.open(), served_corpus.model.vocabulary
    wanted, unwanted = [int(term) for term in index.vector(0).terms[:2]]
    terms = {vocabulary.term_of(wanted): 1.0, vocabulary.term_of(unwanted): -0.2}

    hits = client.post("/search", json={"terms": terms, "k": 40}).json()["hits"]

    showing = [set(index.vector(position).terms.tolist()) for position in range(index.documents)]
    rows = index.stored(range(index.documents))
    expected = {row["id"] for row, own in zip(rows, showing, strict=True) if wanted in own and unwanted not in own}
    assert {hit["id"] for hit in hits} == expected


def test_filters_are_applied_before_the_best_are_taken(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    answer = client.post("/search", json={"text": QUERY, "k": 3, "filters": {"number": {"min": 20, "max": 24}}}).json()

    vector = served_corpus.model.encode_text([QUERY], top_terms=32)[0]
    allowed = np.isin(np.arange(len(served_corpus.pictures)), np.arange(20, 25))
    best = served_corpus.open().search(vector.terms, vector.weights, 3, allowed=allowed)
    assert [hit["fields"]["number"] for hit in answer["hits"]] == best.positions.tolist()


def test_encoding_a_text_gives_the_models_vector_heaviest_first(
    client: httpx.Client, served_corpus: ServedCorpus
) -> None:
    answer = client.post("/encode", json={"text": QUERY}).json()

    vector = served_corpus.model.encode_text([QUERY], top_terms=32)[0]
    expected = served_corpus.model.decode(vector, 64)
    assert [term["term"] for term in answer["terms"]] == [term for term, _ in expected]
    assert [term["weight"] for term in answer["terms"]] == pytest.approx([weight for _, weight in expected], rel=1e-4)


def test_a_stored_picture_is_served_by_its_id_whatever_the_id_looks_like(
    client: httpx.Client, served_corpus: ServedCorpus
) -> None:
    path = f"/images/{quote(served_corpus.odd_id, safe='')}"
    answer = client.get(path)

    assert answer.content == served_corpus.pictures[served_corpus.odd_id]
    assert answer.headers["content-type"] == "image/jpeg"
    assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_a_picture_tells_its_own_words_and_where_they_are(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    identifier = list(served_corpus.pictures)[5]
    index = served_corpus.open()
    own = served_corpus.model.decode(index.vector(index.position_of(identifier)), served_corpus.image_terms)

    words = client.get(f"/images/{identifier}/words", params={"count": 5}).json()["terms"]
    heat = client.get(f"/images/{identifier}/heat", params={"term": own[0][0]}).json()

    assert [word["term"] for word in words] == [term for term, _ in own[:5]]
    values = np.array(heat["values"])
    assert values.shape == (heat["rows"], heat["columns"])
    assert values.max() == pytest.approx(1)
    assert tuple(heat["peak"]) == np.unravel_index(values.argmax(), values.shape)


def test_the_service_says_what_it_serves_and_that_it_is_ready(
    client: httpx.Client, served_corpus: ServedCorpus
) -> None:
    stats = client.get("/stats").json()

    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json()["status"] == "ready"
    assert stats["documents"] == len(served_corpus.pictures)
    assert stats["shards"] == served_corpus.shards
    assert stats["model_fingerprint"] == served_corpus.model.fingerprint
