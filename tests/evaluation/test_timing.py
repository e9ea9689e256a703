"""Interleaved timing asks every system for every query equally often, in turning order, within its time."""

import numpy as np

from lexlip.evaluation.timing import WARM_CALLS, Calls, TimedSystem, summarise, time_interleaved, time_round


def test_every_system_answers_every_query_in_every_round() -> None:
    calls: list[tuple[str, int, int]] = []
    single = TimedSystem(lambda first, last: calls.append(("single", first, last)))
    batched = TimedSystem(lambda first, last: calls.append(("batched", first, last)), batch=4)
    latencies = time_interleaved([single, batched], queries=6, rounds=2)
    measured = calls[2 * WARM_CALLS :]
    one = [("single", number, number + 1) for number in range(6)]
    many = [("batched", 0, 4), ("batched", 4, 6)]
    # The second round begins in the middle of the queries, and with the other system.
    assert measured == one + many + many[1:] + many[:1] + one[3:] + one[:3]
    assert [latency.batch for latency in latencies] == [1, 4]
    assert [latency.calls for latency in latencies] == [12, 4]
    assert all(0 < latency.p50_us <= latency.p99_us for latency in latencies)


def test_a_system_without_time_left_answers_one_call_and_another_one_next_round() -> None:
    asked: list[int] = []
    slow = TimedSystem(lambda first, last: asked.append(first))
    for turn in range(3):
        time_round([slow], queries=9, turn=turn, rounds=3, seconds=0.0)
    assert asked == [0, 3, 6]


def test_a_call_counts_for_all_its_queries() -> None:
    calls = Calls(np.array([400.0, 10.0]), np.array([4, 1]))
    latency = summarise([calls], batch=4)
    assert latency.p50_us == 100.0
    assert latency.qps == round(5e6 / 410, 1)
