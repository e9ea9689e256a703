"""Recall in both directions, against a plain computation with a full score matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.errors import DataError
from lexlip.evaluation.recall import NOT_FOUND, Recall, ranks_in_hits, ranks_of_right
from lexlip.evaluation.retrieval import RightAnswers, evaluate_dense, evaluate_sparse
from lexlip.evaluation.similarity import sparse_scores
from lexlip.tables import LexiconVector

TERMS = 12


def random_vectors(count: int, seed: int) -> list[LexiconVector]:
    """Vectors with 0 to 5 of 12 terms and weights from a coarse grid, so that ties are common."""
    rng = np.random.default_rng(seed)
    vectors = []
    for _ in range(count):
        terms = np.sort(rng.choice(TERMS, rng.integers(0, 6), replace=False)).astype(np.int32)
        vectors.append(LexiconVector(terms, (rng.integers(1, 4, len(terms)) / 4).astype(np.float32)))
    return vectors


def as_matrix(vectors: list[LexiconVector]) -> np.ndarray:
    matrix = np.zeros((len(vectors), TERMS), np.float32)
    for row, vector in enumerate(vectors):
        matrix[row, vector.terms] = vector.weights
    return matrix


def plain_rank(scores: np.ndarray, answers: np.ndarray, least: float) -> int:
    """Sorts all documents and looks for the first right one."""
    for place, position in enumerate(np.lexsort((np.arange(len(scores)), -scores)), start=1):
        if position in answers and scores[position] > least:
            return place
    return NOT_FOUND


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 12), captions_per_image=st.integers(1, 3))
def test_sparse_recall_is_that_of_sorting_the_score_matrix(seed: int, images: int, captions_per_image: int) -> None:
    image_vectors = random_vectors(images, seed)
    owners = np.random.default_rng(seed).integers(0, images, images * captions_per_image)
    caption_vectors = random_vectors(len(owners), seed + 1)
    evaluation = evaluate_sparse(image_vectors, caption_vectors, RightAnswers(owners, images))

    scores_CI = as_matrix(caption_vectors) @ as_matrix(image_vectors).T
    text_ranks = [plain_rank(scores_CI[row], np.array([owners[row]]), 0.0) for row in range(len(owners))]
    described = sorted(set(owners.tolist()))
    image_ranks = [plain_rank(scores_CI.T[image], np.flatnonzero(owners == image), 0.0) for image in described]
    assert evaluation.text_to_image == Recall.of_ranks(np.array(text_ranks))
    assert evaluation.image_to_text == Recall.of_ranks(np.array(image_ranks))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), queries=st.integers(0, 5), documents=st.integers(0, 8))
def test_sparse_scores_are_the_inner_products(seed: int, queries: int, documents: int) -> None:
    left, right = random_vectors(queries, seed), random_vectors(documents, seed + 1)
    blocks = list(sparse_scores(left, right))
    scores = np.concatenate(blocks) if blocks else np.zeros((0, documents))
    np.testing.assert_allclose(scores, as_matrix(left) @ as_matrix(right).T, atol=1e-6)


def test_dense_recall_counts_the_best_of_five_captions() -> None:
    images = np.eye(3, dtype=np.float32)
    # Image 0 has one caption that points to it and one that points to image 1; image 2 has no caption.
    captions = np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0]], np.float32)
    evaluation = evaluate_dense(images, captions, RightAnswers(np.array([0, 0, 1]), 3))
    assert evaluation.image_to_text == Recall(50.0, 100.0, 100.0)
    assert evaluation.text_to_image == Recall(66.67, 100.0, 100.0)
    assert "terms" not in evaluation.to_json()


def test_an_image_that_shares_no_term_is_not_found_even_in_a_tiny_corpus() -> None:
    one, two = (LexiconVector(np.array([term], np.int32), np.ones(1, np.float32)) for term in (1, 2))
    evaluation = evaluate_sparse([one], [two], RightAnswers(np.array([0]), 1))
    assert evaluation.text_to_image == Recall(0.0, 0.0, 0.0)


def test_a_tie_is_won_by_the_lower_position_and_never_by_the_right_answer() -> None:
    scores = np.ones((1, 4), np.float32)
    assert ranks_of_right([scores], [np.array([2])], 0.0).tolist() == [3]


def test_ranks_in_hits_of_an_index() -> None:
    hits = [np.array([7, 3, 5]), np.array([1]), np.array([], np.int64)]
    assert ranks_in_hits(hits, [np.array([3, 5]), np.array([2]), np.array([0])]).tolist() == [2, NOT_FOUND, NOT_FOUND]


def test_the_json_has_the_documented_keys() -> None:
    vectors = random_vectors(4, 3)
    record = evaluate_sparse(vectors, vectors, RightAnswers(np.arange(4), 4)).to_json()
    assert set(record["text_to_image"]) == set(record["image_to_text"]) == {"r1", "r5", "r10"}
    assert set(record["terms"]) == {"image_mean", "text_mean"}


def test_no_captions_is_an_error() -> None:
    with pytest.raises(DataError, match="no captions"):
        RightAnswers(np.array([], np.int64), 3)
