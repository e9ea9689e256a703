"""Lengths of vectors: hubs become shorter, what is seldom near to anything longer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.index.scaling import LEAST_SPREAD, scale_by_spread
from lexlip.index.term_covariance import TermCovariance

VOCABULARY, RANK = 30, 4


def covariance_of(seed: int) -> TermCovariance:
    rng = np.random.default_rng(seed)
    factor_VR = rng.normal(0, 0.1, (VOCABULARY, RANK)).astype(np.float32)
    rest_V = rng.uniform(0.1, 1, VOCABULARY).astype(np.float32)  # plays no part in a spread
    return TermCovariance(factor_VR, rest_V, float(rng.uniform(0.05, 0.3)))


def dense_rows(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.1, 2, (rows, VOCABULARY)) * (rng.random((rows, VOCABULARY)) < 0.4)).astype(np.float32)


def scaled(rows_NV: np.ndarray, covariance: TermCovariance) -> np.ndarray:
    rows, terms = np.nonzero(rows_NV)
    starts = np.searchsorted(rows, np.arange(len(rows_NV) + 1))
    found_NV = np.zeros_like(rows_NV)
    found_NV[rows, terms] = scale_by_spread(starts, terms.astype(np.int32), rows_NV[rows, terms], covariance)
    return found_NV


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 8))
def test_a_length_is_the_root_of_the_usual_spread_over_ones_own(seed: int, rows: int) -> None:
    covariance, rows_NV = covariance_of(seed), dense_rows(seed, rows)
    found_NV = scaled(rows_NV, covariance)
    for row_V, found_V in zip(rows_NV, found_NV, strict=True):
        if not row_V.any():
            assert not found_V.any()
            continue
        direction_V = row_V.astype(np.float64) / np.linalg.norm(row_V.astype(np.float64))
        whole_VV = covariance.factor_VR.astype(np.float64) @ covariance.factor_VR.T
        share = np.sqrt(direction_V @ whole_VV @ direction_V) / covariance.usual_spread
        np.testing.assert_allclose(found_V, direction_V / np.sqrt(max(share, LEAST_SPREAD)), rtol=1e-3)


def test_scaling_again_changes_nothing() -> None:
    covariance, rows_NV = covariance_of(1), dense_rows(1, 5)
    once_NV = scaled(rows_NV, covariance)
    np.testing.assert_allclose(scaled(once_NV, covariance), once_NV, rtol=1e-5)
    np.testing.assert_allclose(scaled(rows_NV * 7, covariance), once_NV, rtol=1e-5)


def test_a_hub_steps_back_behind_what_is_meant() -> None:
    """Captions that differ in one way mostly: a photo of just that is near to half of them, whatever else they say."""
    rng = np.random.default_rng(0)
    captions_NV = np.abs(rng.normal(0, [1.0, 0.2, 0.2, 0.2], (500, 4))).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(captions_NV.T))
    other_side = TermCovariance((vectors * np.sqrt(values)).astype(np.float32), np.zeros(4, np.float32), 0.3)
    hub, special = np.array([[1, 0, 0, 0], [0, 1, 1, 0]], np.float32)
    question = np.array([0.8, 0.5, 0.5, 0.0], np.float32)
    units = np.stack([hub, special / np.linalg.norm(special)])
    before, after = units @ question, scaled(units, other_side) @ question
    assert before[0] > before[1]
    assert after[0] < after[1]


def test_against_what_never_varied_vectors_get_unit_length() -> None:
    rows_NV = dense_rows(3, 6)
    found_NV = scaled(rows_NV, TermCovariance.of_nothing(VOCABULARY))
    np.testing.assert_allclose(np.linalg.norm(found_NV, axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("weight", [1e-12, 1e30])
def test_what_the_other_side_never_varied_in_is_at_most_twice_as_long(weight: float) -> None:
    factor_VR = np.zeros((3, 1), np.float32)
    factor_VR[0] = 0.1
    row_V = np.array([[0.0, weight, 0.0]], np.float32)
    found_V = scaled(row_V, TermCovariance(factor_VR, np.zeros(3, np.float32), 0.05))
    np.testing.assert_allclose(found_V, [[0, LEAST_SPREAD**-0.5, 0]], rtol=1e-6)
