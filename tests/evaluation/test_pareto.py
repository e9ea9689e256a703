"""A front has exactly the points that no other point beats."""

from hypothesis import given
from hypothesis import strategies as st

from lexlip.evaluation.pareto import pareto_front


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_that_of_comparing_all_with_all(points: list[tuple[int, int]]) -> None:
    front = pareto_front([cost for cost, _ in points], [gain for _, gain in points])
    unbeaten = {
        point for point in points if not any(o[0] <= point[0] and o[1] >= point[1] and o != point for o in points)
    }
    assert {points[number] for number in front} == unbeaten
    assert len(front) == len(unbeaten)
    costs = [points[number][0] for number in front]
    assert costs == sorted(costs)
