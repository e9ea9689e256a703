"""Searching gives what adding up every posting gives: the same documents, the same scores, ties by lower position."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexlip.errors import QueryError
from lexlip.index import BuildSettings, Index
from lexlip.tables import LexiconVector


@pytest.fixture(scope="module")
def index(tmp_path_factory, make_collection, build_index):
    """5,000 documents in two shards."""
    return Index.open(build_index(make_collection(5_000), tmp_path_factory.mktemp("index"), shards=2))


def random_query(random, vocabulary_terms, size, negative=False):
    terms = random.choice(vocabulary_terms, size, replace=False)
    weights = random.gamma(2.0, 0.3, size) + 0.01
    if negative:
        weights *= random.choice([-1, 1, 1], size)
    return terms, weights


def assert_same(hits, expected):
    positions, scores = expected
    np.testing.assert_array_equal(hits.positions, positions)
    np.testing.assert_array_equal(hits.scores, scores)


@pytest.mark.parametrize(("size", "k"), [(1, 10), (4, 10), (20, 10), (20, 100), (60, 1000), (300, 7)])
def test_equals_brute_force(index, brute_force, size, k):
    random = np.random.default_rng(size)
    for _ in range(15):
        terms, weights = random_query(random, 300, size)
        assert_same(index.search(terms, weights, k), brute_force(index, terms, weights, k))


@pytest.mark.parametrize("row_share", [0.02, 0.3, 0.9])
def test_long_queries_of_flat_weights_equal_brute_force(tmp_path, make_collection, build_index, brute_force, row_share):
    """Nearly every block can matter then, and whole words of blocks are swept."""
    folder = build_index(make_collection(12_000), tmp_path, settings=BuildSettings(row_share=row_share))
    index, random = Index.open(folder), np.random.default_rng(6)
    allowed = random.random(index.documents) < 0.3
    for size in (90, 250):
        terms = random.choice(300, size, replace=False)
        weights = random.uniform(0.9, 1.0, size) * random.choice([-1, 1, 1, 1], size)
        assert_same(index.search(terms, weights, 10), brute_force(index, terms, weights, 10))
        assert_same(index.search(terms, weights, 50, allowed=allowed), brute_force(index, terms, weights, 50, allowed))


@pytest.mark.parametrize("row_share", [0.0001, 0.3])
def test_the_documents_that_have_a_term_are_those_whose_vectors_do(tmp_path, make_collection, build_index, row_share):
    settings = BuildSettings(row_share=row_share)
    index = Index.open(build_index(make_collection(900), tmp_path, shards=2, settings=settings))
    vectors = [set(index.vector(position).terms.tolist()) for position in range(index.documents)]
    for term in (0, 1, 17, 150, 299):
        np.testing.assert_array_equal(index.documents_with(term), [term in terms for terms in vectors])
    assert not index.documents_with(300).any(), "no term of this vocabulary"
    assert not index.documents_with(-1).any()


def test_negative_weights_count_against_a_document(index, brute_force):
    random = np.random.default_rng(1)
    for _ in range(15):
        terms, weights = random_query(random, 300, 8, negative=True)
        assert_same(index.search(terms, weights, 20), brute_force(index, terms, weights, 20))
    assert len(index.search([3, 4], [-1.0, -0.5])) == 0, "a document without any wanted term is no hit"


@pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
def test_filter_is_applied_before_the_top_k(index, brute_force, share):
    random = np.random.default_rng(2)
    allowed = random.random(index.documents) < share
    prepared = index.document_filter(allowed)
    for _ in range(5):
        terms, weights = random_query(random, 300, 6)
        expected = brute_force(index, terms, weights, 10, allowed)
        assert_same(index.search(terms, weights, 10, allowed=allowed), expected)
        assert_same(index.search(terms, weights, 10, allowed=prepared), expected)


def test_batches_and_threads_change_nothing(index):
    random = np.random.default_rng(3)
    queries = []
    for size in random.integers(1, 30, 80):
        terms, weights = random_query(random, 300, size)
        order = np.argsort(terms)
        queries.append(LexiconVector(terms[order].astype(np.int32), weights[order].astype(np.float32)))
    one_by_one = [index.search(query.terms, query.weights, 5) for query in queries]
    for threads in (1, 3):
        for hits, expected in zip(index.search_batch(queries, 5, threads=threads), one_by_one, strict=True):
            assert_same(hits, (expected.positions, expected.scores))
    assert index.search_batch([]) == []


def test_contributions_add_up_to_the_score(index):
    terms, weights = np.array([5, 17, 40, 41]), np.array([0.5, 1.0, -0.2, 0.7])
    hits = index.search(terms, weights, 5)
    for position, score in zip(hits.positions, hits.scores, strict=True):
        parts = index.contributions(int(position), terms, weights)
        assert parts.sum() == pytest.approx(score, rel=1e-5)
        vector = index.vector(int(position))
        own = dict(zip(vector.terms.tolist(), vector.weights.tolist(), strict=True))
        assert parts == pytest.approx([own.get(int(t), 0.0) * w for t, w in zip(terms, weights, strict=True)], rel=1e-5)


def test_a_part_of_the_shards_can_be_opened(tmp_path, make_collection, build_index, brute_force):
    folder = build_index(make_collection(300), tmp_path, shards=3)
    part = Index.open(folder, shards=[1])
    assert part.documents == 100
    assert_same(part.search([1, 2, 3], [1.0, 1.0, 1.0]), brute_force(part, [1, 2, 3], [1.0, 1.0, 1.0], 10))
    assert part.stored([0])[0]["id"] == "photo-100"


def test_rerank_restores_the_order_of_exact_weights(tmp_path, make_collection, build_index):
    collection = make_collection(2_000)
    settings = BuildSettings(impact_bits=4, keep_exact_weights=True, maximum_weight=1.0)
    index = Index.open(build_index(collection, tmp_path, settings=settings))
    terms, weights = np.array([1, 2, 3, 5, 8]), np.array([1.0, 0.9, 0.8, 0.7, 0.6])
    query = np.zeros(300)
    query[terms] = weights
    exact = np.array([(query[v.terms] * v.weights).sum() for v in map(collection.vector, range(len(collection)))])
    hits = index.search(terms, weights, 10, rerank=200)
    best = np.lexsort((np.arange(exact.size), -exact))[:10]
    np.testing.assert_allclose(hits.scores, exact[best], rtol=1e-3)
    assert len(set(hits.positions.tolist()) & set(best.tolist())) >= 9, "half-precision weights may swap near ties"


def test_rerank_needs_exact_weights(index):
    with pytest.raises(QueryError, match="keep_exact_weights"):
        index.search([1], [1.0], rerank=20)


@pytest.mark.parametrize(
    ("terms", "weights", "k", "message"),
    [
        ([], [], 10, "1 to 512 terms"),
        (list(range(513)), [1.0] * 513, 10, "1 to 512 terms"),
        ([1, 1], [1.0, 1.0], 10, "term 1 occurs twice"),
        ([300], [1.0], 10, "term 300 is outside"),
        ([-1], [1.0], 10, "term -1 is outside"),
        ([7], [np.nan], 10, "the weight of term 7 is nan"),
        ([7], [np.inf], 10, "the weight of term 7 is inf"),
        ([7], [0.0], 10, "the weight of term 7 is 0"),
        ([7, 8], [1.7e308, 1.7e308], 10, "too large"),
        ([7, 8], [1.0], 10, "equal length"),
        ([7.5], [1.0], 10, "whole numbers"),
        ([7], [1.0], 0, "k is 0"),
        ([7], [1.0], 1001, "k is 1001"),
    ],
)
def test_unsuitable_queries_are_refused_in_words(index, terms, weights, k, message):
    with pytest.raises(QueryError, match=message):
        index.search(np.array(terms), np.array(weights), k)


def test_unsuitable_filter_is_refused(index):
    with pytest.raises(QueryError, match="5000 bools"):
        index.search([1], [1.0], allowed=np.ones(7, bool))


@st.composite
def small_collections(draw):
    """A few documents over a few terms with weights from a few values, so that ties, full terms and empty rows
    abound.
    """
    vocabulary_terms = draw(st.sampled_from([1, 2, 5, 70, 130]))
    documents = draw(st.sampled_from([1, 2, 63, 64, 65, 130, 700]))
    seed = draw(st.integers(0, 2**32 - 1))
    fullness = draw(st.sampled_from([0.02, 0.3, 1.0]))
    values = draw(st.sampled_from([[1.0], [0.5, 1.0], [1e-6, 0.01, 0.02, 0.6, 1.0]]))
    random = np.random.default_rng(seed)
    present = random.random((documents, vocabulary_terms)) < fullness * random.random(vocabulary_terms) ** 0.3
    starts = np.concatenate([[0], np.cumsum(present.sum(1))]).astype(np.int64)
    weights = random.choice(values, starts[-1]).astype(np.float32)
    return starts, np.nonzero(present)[1].astype(np.int32), weights, vocabulary_terms, random


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    small_collections(),
    st.sampled_from([4, 5, 6, 8]),
    st.sampled_from([0.01, 0.1, 0.9]),
    st.sampled_from([1, 2, 10, 1000]),
)
def test_any_small_collection(collection_class, build_index, brute_force, made, impact_bits, row_share, k):
    starts, terms, weights, vocabulary_terms, random = made
    collection = collection_class(starts, terms, weights, vocabulary_terms)
    build_settings = BuildSettings(impact_bits=impact_bits, row_share=row_share, maximum_weight=1.0)
    with tempfile.TemporaryDirectory() as folder:
        index = Index.open(build_index(collection, Path(folder), settings=build_settings))
        for size in {1, min(3, vocabulary_terms), vocabulary_terms}:
            query_terms = random.choice(vocabulary_terms, size, replace=False)
            for values in ([1.0], [0.25, 0.5, 1.0], [1e-12, 1.0, -0.5], [3e30, 1e25]):
                query_weights = random.choice(values, size)
                hits = index.search(query_terms, query_weights, k)
                assert_same(hits, brute_force(index, query_terms, query_weights, k))
