"""Cutting rows by matching pursuit, against a slow one that solves every step anew with all of the covariance."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.index.pursuit import LEAST_CANDIDATES, RIDGE, keep_terms_by_pursuit
from lexlip.index.term_covariance import TermCovariance
from lexlip.tables import LexiconVector

VOCABULARY, RANK = 40, 6


def covariance_of(seed: int) -> TermCovariance:
    rng = np.random.default_rng(seed)
    factor_VR = rng.normal(0, 0.1, (VOCABULARY, RANK)).astype(np.float32)
    return TermCovariance(factor_VR, rng.uniform(0, 0.01, VOCABULARY).astype(np.float32), 1.0)


def row_of(seed: int, size: int) -> LexiconVector:
    rng = np.random.default_rng(seed)
    terms = np.sort(rng.choice(VOCABULARY, size, replace=False)).astype(np.int32)
    return LexiconVector(terms, rng.uniform(0.05, 1, size).astype(np.float32))


def metric(row: LexiconVector, covariance: TermCovariance) -> np.ndarray:
    """[N, N] float64: covariance of the row's terms, and the ridge."""
    factor = covariance.factor_VR[row.terms].astype(np.float64)
    whole = factor @ factor.T + np.diag(covariance.rest_V[row.terms])
    return whole + RIDGE * np.diag(whole).mean() * np.eye(len(row))


def error_of(kept: LexiconVector, row: LexiconVector, covariance: TermCovariance) -> float:
    """How far the scores of `kept` are from those of `row`."""
    gap = row.weights.astype(np.float64)
    gap[np.searchsorted(row.terms, kept.terms)] -= kept.weights
    return float(gap @ metric(row, covariance) @ gap)


def slow_pursuit(row: LexiconVector, count: int, covariance: TermCovariance) -> LexiconVector:
    """Tries every further term with weights fitted anew, and takes the one that leaves least."""
    whole, weights = metric(row, covariance), row.weights.astype(np.float64)
    wanted = whole @ weights
    taken: list[int] = []
    for _ in range(count):
        gains = np.full(len(row), -np.inf)
        fitted = np.linalg.solve(whole[np.ix_(taken, taken)], wanted[taken]) if taken else np.empty(0)
        left = wanted - whole[:, taken] @ fitted
        for place in set(range(len(row))) - set(taken):
            if left[place] > 0:
                more = [*taken, place]
                gains[place] = wanted[more] @ np.linalg.solve(whole[np.ix_(more, more)], wanted[more])
        if np.isinf(gains).all():
            break
        taken.append(int(gains.argmax()))
    taken.sort()
    fitted = np.linalg.solve(whole[np.ix_(taken, taken)], wanted[taken])
    return LexiconVector(row.terms[taken][fitted > 0], fitted[fitted > 0].astype(np.float32))


def pursue(rows: list[LexiconVector], count: int | None, covariance: TermCovariance) -> list[LexiconVector]:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    terms = np.concatenate([np.empty(0, np.int32), *(row.terms for row in rows)])
    weights = np.concatenate([np.empty(0, np.float32), *(row.weights for row in rows)])
    starts, terms, weights = keep_terms_by_pursuit(starts, terms, weights, count, covariance)
    return [LexiconVector(terms[a:b], weights[a:b]) for a, b in itertools.pairwise(starts)]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, VOCABULARY), st.integers(1, 12))
def test_every_step_takes_the_term_that_leaves_least(seed: int, size: int, count: int) -> None:
    covariance, row = covariance_of(seed), row_of(seed, size)
    (kept,) = pursue([row], count, covariance)
    if size <= count:
        np.testing.assert_array_equal(kept.weights, row.weights)
        return
    expected = slow_pursuit(row, count, covariance)
    # Near-ties may fall either way in single precision: what counts is how much is left.
    assert error_of(kept, row, covariance) == pytest.approx(error_of(expected, row, covariance), rel=1e-3, abs=1e-6)
    assert len(kept) <= count
    assert (kept.weights > 0).all()
    assert (np.diff(kept.terms) > 0).all()
    assert np.isin(kept.terms, row.terms).all()


def test_it_finds_the_very_terms_and_weights() -> None:
    for seed in range(20):
        covariance, row = covariance_of(seed), row_of(seed, 30)
        (kept,), expected = pursue([row], 6, covariance), slow_pursuit(row, 6, covariance)
        np.testing.assert_array_equal(kept.terms, expected.terms)
        np.testing.assert_allclose(kept.weights, expected.weights, rtol=1e-4)


def test_it_keeps_scores_better_than_the_heaviest_terms_do() -> None:
    for seed in range(20):
        covariance, row = covariance_of(seed), row_of(seed, 30)
        (kept,) = pursue([row], 6, covariance)
        assert error_of(kept, row, covariance) < error_of(row.top(6), row, covariance)


def test_of_terms_that_say_the_same_one_is_kept_and_speaks_for_both() -> None:
    # Terms 0 and 1 are always weighed alike; term 2 is on its own.
    factor_VR = np.zeros((VOCABULARY, RANK), np.float32)
    factor_VR[:2, 0] = factor_VR[2, 1] = 1.0
    covariance = TermCovariance(factor_VR, np.zeros(VOCABULARY, np.float32), 1.0)
    row = LexiconVector(np.arange(3, dtype=np.int32), np.array([0.8, 0.6, 0.55], np.float32))
    (kept,) = pursue([row], 2, covariance)
    assert row.top(2).terms.tolist() == [0, 1]
    assert kept.terms.tolist() == [0, 2]
    assert kept.weights[0] > row.weights[0]
    assert kept.weights[1] == pytest.approx(row.weights[2], rel=1e-5)


def test_of_very_many_terms_those_that_do_most_alone_are_looked_at() -> None:
    terms = 4 * LEAST_CANDIDATES
    rng = np.random.default_rng(0)
    covariance = TermCovariance(
        rng.normal(0, 0.1, (terms, RANK)).astype(np.float32), np.full(terms, 0.01, np.float32), 1.0
    )
    # Heavy terms first: what the light ones say is heard in the scores, but none of them can be taken.
    weights = np.concatenate([rng.uniform(0.8, 1, LEAST_CANDIDATES), rng.uniform(0, 0.01, terms - LEAST_CANDIDATES)])
    row = LexiconVector(np.arange(terms, dtype=np.int32), weights.astype(np.float32))
    (kept,) = pursue([row], 5, covariance)
    np.testing.assert_array_equal(kept.terms, slow_pursuit(row, 5, covariance).terms)
    np.testing.assert_allclose(kept.weights, slow_pursuit(row, 5, covariance).weights, rtol=1e-3)


def test_where_nothing_varies_the_heaviest_are_kept_as_they_are() -> None:
    nothing = TermCovariance.of_nothing(VOCABULARY)
    row = row_of(3, 30)
    (kept,) = pursue([row], 5, nothing)
    np.testing.assert_array_equal(kept.terms, row.top(5).terms)
    np.testing.assert_allclose(kept.weights, row.top(5).weights, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_how_much_everything_varies_does_not_matter(scale: float) -> None:
    covariance, row = covariance_of(1), row_of(3, 30)
    scaled = TermCovariance(covariance.factor_VR * np.float32(scale**0.5), covariance.rest_V * np.float32(scale), 1.0)
    (kept,), (expected,) = pursue([row], 5, scaled), pursue([row], 5, covariance)
    if scale < 1e-20:  # as good as nothing
        expected = row.top(5)
    np.testing.assert_array_equal(kept.terms, expected.terms)
    np.testing.assert_allclose(kept.weights, expected.weights, rtol=1e-3)


def test_rows_of_all_lengths_stand_beside_each_other() -> None:
    covariance = covariance_of(1)
    rows = [row_of(seed, size) for seed, size in enumerate((0, 30, 4, 1, 12, 0))]
    together = pursue(rows, 4, covariance)
    assert [len(row) for row in together] == [0, 4, 4, 1, 4, 0]
    for row, kept in zip(rows, together, strict=True):
        (alone,) = pursue([row], 4, covariance)
        np.testing.assert_array_equal(kept.terms, alone.terms)
        np.testing.assert_array_equal(kept.weights, alone.weights)
    assert [len(row) for row in pursue(rows, None, covariance)] == [len(row) for row in rows]
    assert pursue([], 4, covariance) == []
