"""Interleaved timing asks every system for every query equally often, in turning order."""

from lexlip.evaluation.timing import WARM_CALLS, TimedSystem, time_interleaved


def test_every_system_answers_every_query_in_every_round() -> None:
    calls: list[tuple[str, int, int]] = []
    single = TimedSystem(lambda first, last: calls.append(("single", first, last)))
    batched = TimedSystem(lambda first, last: calls.append(("batched", first, last)), batch=4)
    latencies = time_interleaved([single, batched], queries=6, rounds=2)
    measured = calls[2 * WARM_CALLS :]
    one = [("single", number, number + 1) for number in range(6)]
    many = [("batched", 0, 4), ("batched", 4, 6)]
    assert measured == one + many + many + one
    assert [latency.batch for latency in latencies] == [1, 4]
    assert all(0 < latency.p50_us <= latency.p99_us for latency in latencies)
