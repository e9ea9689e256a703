"""Timing rival systems fairly: in interleaved rounds, on the same queries, so that what disturbs one disturbs all."""

import math
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
        calls: how many calls were timed. Below a hundred, p99 is the slowest of them.
    """

    p50_us: float
    p99_us: float
    qps: float
    batch: int
    calls: int


@dataclass(frozen=True)
class TimedSystem:
    """A system to be timed.

    Attributes:
        search: answers the queries from the first position up to, without, the second.
        batch: queries a call.
    """

    search: Callable[[int, int], object]
    batch: int = 1


@dataclass(frozen=True)
class Calls:
    """What was timed of one system.

    Attributes:
        microseconds: [calls] float64, time of each call.
        queries: [calls] int64, queries that each call answered.
    """

    microseconds: np.ndarray
    queries: np.ndarray


def warm_up(systems: Sequence[TimedSystem], queries: int, seconds: float = math.inf) -> None:
    """Calls every system a few times, at least once, and for no longer than some seconds each."""
    for system in systems:
        until = time.perf_counter() + seconds
        for call in range(WARM_CALLS):
            first = min(call * system.batch, max(queries - system.batch, 0))
            system.search(first, min(first + system.batch, queries))
            if time.perf_counter() > until:
                break


def time_round(
    systems: Sequence[TimedSystem], queries: int, turn: int = 0, rounds: int = 1, seconds: float = math.inf
) -> list[Calls]:
    """One round: every system in turn answers the same queries, each once, or as many as fit into its time.

    A slow system so answers only part of the queries in one round. The round decides where among the queries all
    systems begin, so that in all rounds together a slow system sees different ones.

    Args:
        systems: in any order; the order within a round turns with the round.
        queries: how many there are.
        turn: number of this round, from 0.
        rounds: how many there will be.
        seconds: what one system may take; at least one call is always made.
    """
    order = list(range(len(systems)))
    taken: list[Calls | None] = [None] * len(systems)
    for number in order[turn % len(order) :] + order[: turn % len(order)]:
        taken[number] = _time_one(systems[number], queries, turn / rounds, seconds)
    return [calls for calls in taken if calls is not None]


def _time_one(system: TimedSystem, queries: int, share: float, seconds: float) -> Calls:
    starts = list(range(0, queries, system.batch))
    first_call = int(share * len(starts))
    times, sizes = [], []
    until = time.perf_counter() + seconds
    for first in starts[first_call:] + starts[:first_call]:
        last = min(first + system.batch, queries)
        began = time.perf_counter_ns()
        system.search(first, last)
        times.append((time.perf_counter_ns() - began) / NANOSECONDS_PER_MICROSECOND)
        sizes.append(last - first)
        if time.perf_counter() > until:
            break
    return Calls(np.array(times, np.float64), np.array(sizes, np.int64))


def summarise(rounds: Sequence[Calls], batch: int) -> Latency:
    """The latency of one system from its calls in all rounds."""
    microseconds = np.concatenate([calls.microseconds for calls in rounds])
    queries = np.concatenate([calls.queries for calls in rounds])
    p50, p99 = np.percentile(np.repeat(microseconds / queries, queries), [50, 99])
    qps = 1e6 * float(queries.sum()) / float(microseconds.sum())
    return Latency(round(float(p50), 2), round(float(p99), 2), round(qps, 1), batch, len(queries))


def time_interleaved(
    systems: Sequence[TimedSystem], queries: int, rounds: int, seconds: float = math.inf
) -> list[Latency]:
    """Warms all systems up and times them in interleaved rounds.

    Args:
        systems: in any order.
        queries: how many there are.
        rounds: how often every system answers them.
        seconds: what one system may take of a round.
    """
    warm_up(systems, queries, seconds)
    timed = [time_round(systems, queries, turn, rounds, seconds) for turn in range(rounds)]
    return [summarise([calls[number] for calls in timed], system.batch) for number, system in enumerate(systems)]
