"""Filters on stored fields let through exactly the rows that satisfy every condition."""

import pyarrow as pa
import pytest

from lexlip.errors import QueryError
from serve.filters import matching, parse_filters

STORED = pa.table(
    {
        "place": ["park", "beach", None, "park"],
        "year": [2019, 2020, 2021, 2022],
        "score": [0.5, None, 0.25, 1.0],
        "concepts": [["dog", "red"], [], None, ["cat"]],
        "public": [True, False, True, True],
    }
)


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({"place": "park"}, [0, 3]),
        ({"place": ["beach", "park"]}, [0, 1, 3]),
        ({"year": {"min": 2020}}, [1, 2, 3]),
        ({"year": {"min": 2020, "max": 2021}}, [1, 2]),
        ({"score": {"max": 0.5}}, [0, 2]),
        ({"concepts": "red"}, [0]),
        ({"concepts": ["cat", "dog"]}, [0, 3]),
        ({"public": True}, [0, 2, 3]),
        ({"place": "park", "year": 2022}, [3]),
        ({"place": "nowhere"}, []),
    ],
)
def test_rows_that_satisfy_every_condition(filters: dict, rows: list[int]) -> None:
    assert matching(STORED, parse_filters(filters)).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    "filters",
    [
        {"year": {"least": 3}},
        {"year": {}},
        {"year": []},
        {"year": None},
        {"year": {"min": float("nan")}},
        {"year": "late"},
        {"year": 2**80},
        {"place": {"min": 3}},
        {"place": [1]},
    ],
)
def test_a_condition_that_cannot_be_read_or_compared_is_refused(filters: dict) -> None:
    with pytest.raises(QueryError, match="filter on"):
        matching(STORED, parse_filters(filters))
