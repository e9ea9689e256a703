"""Timing that survives an interruption: finished rounds are kept, and the next run goes on with the missing ones."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lexlip.evaluation.timing import Calls, Latency, TimedSystem, summarise, time_round, warm_up
from pipelines.comparison_settings import CompareSettings
from pipelines.measured_machine import describe_machine
from pipelines.vector_parts import write_json

KEY_DIGITS = 12


def kept_latencies(
    folder: Path, systems: Sequence[tuple[str, TimedSystem]], queries: int, settings: CompareSettings
) -> tuple[list[Latency], dict[str, str | int]]:
    """Times all systems in interleaved rounds, each on one thread.

    Args:
        folder: where rounds are kept, apart for other systems or settings.
        systems: a name that tells each from all others, and how it is called.
        queries: how many are timed.
        settings: rounds, and what a system may take of one.

    Returns:
        The latencies, and the machine on which the first round was measured.
    """
    facts = [*(name for name, _ in systems), str(queries), str(settings.rounds), str(settings.round_seconds)]
    kept = folder / f"timing-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:KEY_DIGITS]}"
    kept.mkdir(parents=True, exist_ok=True)
    timed = [system for _, system in systems]
    files = [kept / f"round-{turn}.json" for turn in range(settings.rounds)]
    missing = [turn for turn, file in enumerate(files) if not file.is_file()]
    machine = kept / "machine.json"
    if not machine.is_file():
        write_json(machine, describe_machine(threads=1))
    if missing:
        print(f"compare: timing {len(systems)} systems on {queries:,} queries, {settings.rounds} rounds", flush=True)
        warm_up(timed, queries, settings.round_seconds)
    else:
        print(f"compare: all rounds were timed before; remove {kept} to measure again", flush=True)
    for turn in missing:
        began = time.perf_counter()
        calls = time_round(timed, queries, turn, settings.rounds, settings.round_seconds)
        write_json(files[turn], {"calls": [[list(found.microseconds), found.queries.tolist()] for found in calls]})
        seconds = time.perf_counter() - began
        print(f"compare: round {turn + 1} of {settings.rounds}, {math.ceil(seconds)} s", flush=True)
    rounds = [json.loads(file.read_text(encoding="utf-8"))["calls"] for file in files]
    latencies = [
        summarise([Calls(np.array(of[number][0]), np.array(of[number][1], np.int64)) for of in rounds], system.batch)
        for number, system in enumerate(timed)
    ]
    return latencies, json.loads(machine.read_text(encoding="utf-8"))
