"""Timing rival systems fairly: in interleaved rounds, on the same queries, so that what disturbs one disturbs all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NANOSECONDS_PER_MICROSECOND = 1_000
WARM_CALLS = 3


@dataclass(frozen=True)
class Latency:
    """Times of one system.

    Attributes:
        p50_us, p99_us: microseconds a query; of a batch, its time divided by its queries.
        qps: queries a second, all rounds together.
        batch: queries a call.
    """

    p50_us: float
    p99_us: float
    qps: float
    batch: int


@dataclass(frozen=True)
class TimedSystem:
    """A system to be timed.

    Attributes:
        search: answers the queries from the first position up to, without, the second.
        batch: queries a call.
    """

    search: Callable[[int, int], object]
    batch: int = 1


def time_interleaved(systems: Sequence[TimedSystem], queries: int, rounds: int) -> list[Latency]:
    """Times all systems on the same queries, one after the other within every round, in an order that turns.

    Args:
        systems: in any order.
        queries: how many there are; every system answers all of them in every round.
        rounds: how often.
    """
    times: list[list[float]] = [[] for _ in systems]
    order = list(range(len(systems)))
    for system in systems:
        for call in range(WARM_CALLS):
            first = min(call * system.batch, max(queries - system.batch, 0))
            system.search(first, min(first + system.batch, queries))
    for turn in range(rounds):
        for number in order[turn % len(order) :] + order[: turn % len(order)]:
            system = systems[number]
            for first in range(0, queries, system.batch):
                last = min(first + system.batch, queries)
                began = time.perf_counter_ns()
                system.search(first, last)
                taken = (time.perf_counter_ns() - began) / NANOSECONDS_PER_MICROSECOND
                times[number] += [taken / (last - first)] * (last - first)
    return [_summarise(np.array(taken), system.batch) for taken, system in zip(times, systems, strict=True)]


def _summarise(microseconds: np.ndarray, batch: int) -> Latency:
    p50, p99 = np.percentile(microseconds, [50, 99])
    return Latency(round(float(p50), 2), round(float(p99), 2), round(1e6 / float(microseconds.mean()), 1), batch)
