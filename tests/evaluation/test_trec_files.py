"""Runs and judgements mean to ir_measures what they mean to us."""

from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import Success

from lexlip.evaluation.recall import Recall, best_answers, ranks_of_right
from lexlip.evaluation.trec_files import judgement_lines, run_lines, trec_id

QUERIES, DOCUMENTS = 60, 30


@pytest.fixture
def scores() -> np.ndarray:
    """Scores from a coarse grid, so that ties are common and many answers are not returned at all."""
    return np.random.default_rng(8).integers(0, 5, (QUERIES, DOCUMENTS)).astype(np.float32) / 4


@pytest.fixture
def right() -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [np.sort(rng.choice(DOCUMENTS, rng.integers(1, 4), replace=False)) for _ in range(QUERIES)]


def test_their_success_is_our_recall(tmp_path: Path, scores: np.ndarray, right: list[np.ndarray]) -> None:
    # In descending order, so that breaking ties by document id would go against our ties by position.
    documents = [f"photo {DOCUMENTS - number:02}.jpg" for number in range(DOCUMENTS)]
    queries = [f"query {number}" for number in range(QUERIES)]
    hits, values = best_answers([scores[:20], scores[20:]], 20, 0.0)
    (tmp_path / "a.run").write_text(run_lines(queries, documents, hits, values, "lexlip"))
    (tmp_path / "a.qrels").write_text(judgement_lines(queries, documents, right))
    measured = ir_measures.calc_aggregate(
        [Success @ 1, Success @ 5, Success @ 10],
        ir_measures.read_trec_qrels(str(tmp_path / "a.qrels")),
        ir_measures.read_trec_run(str(tmp_path / "a.run")),
    )
    ours = Recall.of_ranks(ranks_of_right([scores], right, 0.0))
    for cutoff, value in ((1, ours.r1), (5, ours.r5), (10, ours.r10)):
        assert 100 * measured[Success @ cutoff] == pytest.approx(value, abs=0.006)
    assert 0 < ours.r1 < ours.r10


def test_best_answers_are_in_order_and_ties_go_to_the_lower_position() -> None:
    hits, values = best_answers([np.array([[0.5, 0.0, 0.5, 0.9, 0.5]], np.float32)], 3, 0.0)
    assert hits[0].tolist() == [3, 0, 2]
    np.testing.assert_allclose(values[0], [0.9, 0.5, 0.5])


def test_an_id_stays_one_field_and_different_from_others() -> None:
    assert trec_id("my photo%20.jpg") == "my%20photo%2520.jpg"
