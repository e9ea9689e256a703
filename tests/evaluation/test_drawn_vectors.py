"""Drawn documents: mixtures of neighbours, the same for both models, reproducible, of the terms that real ones have."""

import numpy as np
import pytest

from lexlip.errors import DataError
from lexlip.evaluation.drawn_vectors import MIXED, draw_mixtures, joint_neighbours, mix_dense, mix_lexicon
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.tables import LexiconVector

TERMS = 50


@pytest.fixture(scope="module")
def rows() -> SparseRows:
    rng = np.random.default_rng(3)
    vectors = []
    for _ in range(40):
        terms = np.sort(rng.choice(TERMS, rng.integers(1, 9), replace=False)).astype(np.int32)
        weights = rng.random(len(terms)).astype(np.float32) + 0.1
        vectors.append(LexiconVector(terms, weights / np.linalg.norm(weights)))
    return SparseRows.of_vectors(vectors)


@pytest.fixture(scope="module")
def dense() -> np.ndarray:
    vectors = np.random.default_rng(4).normal(size=(40, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def as_matrix(rows: SparseRows) -> np.ndarray:
    matrix = np.zeros((len(rows), TERMS))
    for number in range(len(rows)):
        matrix[number, rows.row(number).terms] = rows.row(number).weights
    return matrix


def test_neighbours_are_those_of_both_similarities_together(rows: SparseRows, dense: np.ndarray) -> None:
    def standardised(scores: np.ndarray) -> np.ndarray:
        return (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)

    matrix = as_matrix(rows)
    both = standardised(dense @ dense.T) + standardised(matrix @ matrix.T)
    np.fill_diagonal(both, -np.inf)
    expected = np.sort(np.argsort(-both, axis=1)[:, :5], axis=1)
    np.testing.assert_array_equal(np.sort(joint_neighbours(dense, rows, 5), axis=1), expected)


def test_a_mixture_has_three_different_documents_and_falling_shares(rows: SparseRows, dense: np.ndarray) -> None:
    neighbours = joint_neighbours(dense, rows, 6)
    mixtures = draw_mixtures(neighbours, 500, seed=1)
    assert all(len(set(row)) == MIXED for row in mixtures.sources_NM.tolist())
    assert np.all(np.diff(mixtures.shares_NM, axis=1) <= 0)
    np.testing.assert_allclose(mixtures.shares_NM.sum(axis=1), 1.0, atol=1e-6)


def test_a_longer_draw_begins_with_the_shorter_one(rows: SparseRows, dense: np.ndarray) -> None:
    neighbours = joint_neighbours(dense, rows)
    short, long = draw_mixtures(neighbours, 20, seed=5), draw_mixtures(neighbours, 90, seed=5)
    np.testing.assert_array_equal(short.sources_NM, long.sources_NM[:20])
    np.testing.assert_array_equal(short.shares_NM, long.shares_NM[:20])


def test_dense_and_lexicon_documents_are_the_mixtures(rows: SparseRows, dense: np.ndarray) -> None:
    mixtures = draw_mixtures(joint_neighbours(dense, rows), 60, seed=2)
    drawn_dense, drawn = mix_dense(dense, mixtures), mix_lexicon(rows, mixtures)
    lengths, matrix, mixed = np.diff(rows.starts), as_matrix(rows), as_matrix(drawn)
    for number in range(60):
        sources, shares = mixtures.sources_NM[number], mixtures.shares_NM[number]
        whole = shares @ dense[sources]
        np.testing.assert_allclose(drawn_dense[number], whole / np.linalg.norm(whole), atol=1e-5)
        # As many terms as the heaviest source has, the heaviest of the mixture, of unit length.
        sums = shares @ matrix[sources]
        kept = np.sort(np.lexsort((np.arange(TERMS), -sums))[: lengths[sources[0]]])
        assert drawn.row(number).terms.tolist() == kept.tolist()
        np.testing.assert_allclose(mixed[number, kept], sums[kept] / np.linalg.norm(sums[kept]), atol=1e-5)


def test_too_few_documents_to_draw_from(rows: SparseRows, dense: np.ndarray) -> None:
    with pytest.raises(DataError, match="only 3 real document"):
        joint_neighbours(dense[:3], rows.between(0, 3))
