"""Lexicon vectors as arrays behave like lists of them."""

import numpy as np

from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.tables import LexiconVector

VECTORS = [
    LexiconVector(np.array([1, 4, 7], np.int32), np.array([0.6, 0.2, 0.8], np.float32)),
    LexiconVector(np.array([], np.int32), np.array([], np.float32)),
    LexiconVector(np.array([0, 2], np.int32), np.array([0.5, 0.5], np.float32)),
]


def test_rows_and_ranges_of_rows() -> None:
    rows = SparseRows.of_vectors(VECTORS)
    twice = SparseRows.concatenate([rows, rows])
    assert len(twice) == 6
    assert twice.longest == 3
    assert twice.mean_terms == 10 / 6
    for number, vector in enumerate(VECTORS):
        assert twice.row(3 + number).terms.tolist() == vector.terms.tolist()
        assert twice.between(3, 6).row(number).weights.tolist() == vector.weights.tolist()


def test_a_cut_keeps_the_heaviest_and_gives_unit_length() -> None:
    cut = SparseRows.of_vectors(VECTORS).cut(2)
    assert [cut.row(number).terms.tolist() for number in range(3)] == [[1, 7], [], [0, 2]]
    np.testing.assert_allclose(cut.row(0).weights, [0.6, 0.8], atol=1e-6)
    np.testing.assert_allclose(cut.row(2).weights, [0.5**0.5] * 2, atol=1e-6)


def test_a_cut_by_worth_keeps_what_the_vectors_themselves_would_keep() -> None:
    worth = np.array([0.1, 1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 0.2], np.float32)
    cut = SparseRows.of_vectors(VECTORS).cut(2, worth)
    assert [cut.row(number).terms.tolist() for number in range(3)] == [[1, 4], [], [0, 2]]
    for number, vector in enumerate(VECTORS):
        assert cut.row(number).terms.tolist() == vector.top(2, worth).terms.tolist()
    np.testing.assert_allclose(cut.row(0).weights, np.array([0.6, 0.2]) / np.hypot(0.6, 0.2), atol=1e-6)
