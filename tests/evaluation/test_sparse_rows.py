"""Lexicon vectors as arrays behave like lists of them."""

import numpy as np

from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.index.term_covariance import TermCovariance
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


def test_rows_of_unit_length_keep_their_directions() -> None:
    rows = SparseRows.of_vectors(VECTORS).scaled_to_unit_length()
    for number, vector in enumerate(VECTORS):
        np.testing.assert_array_equal(rows.row(number).terms, vector.terms)
        np.testing.assert_allclose(rows.row(number).weights, vector.scaled_to_unit_length().weights, rtol=1e-6)
    assert len(SparseRows.of_vectors(VECTORS[1:2]).scaled_to_unit_length().terms) == 0


def test_a_cut_against_the_other_side_lets_one_of_two_alike_speak_for_both() -> None:
    factor_VR = np.zeros((8, 2), np.float32)
    factor_VR[[1, 7], 0] = factor_VR[4, 1] = 1.0
    other_side = TermCovariance(factor_VR, np.zeros(8, np.float32), 1.0)
    alike = LexiconVector(np.array([1, 4, 7], np.int32), np.array([0.6, 0.55, 0.8], np.float32))
    cut = SparseRows.of_vectors([alike, *VECTORS[1:]]).cut(2, other_side)
    assert [cut.row(number).terms.tolist() for number in range(3)] == [[4, 7], [], [0, 2]]
    # The two that are left vary apart and as much: a vector of them spreads as usual, whatever their weights.
    np.testing.assert_allclose(np.linalg.norm(cut.row(0).weights), 1.0, atol=1e-6)
    assert cut.row(0).weights[1] / cut.row(0).weights[0] > 0.8 / 0.55
    # The last one has terms in which the other side does not vary: of no spread, but not louder than twice.
    np.testing.assert_allclose(np.linalg.norm(cut.row(2).weights), 2.0, atol=1e-6)
