"""What goes wrong under load: replicas die, generations change, more is asked than can be answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.util import list_named_actors
from serving_corpus import CONTENTS, ServedIndex
from serving_load import Answer, beside, closed_loop, latency, open_loop

FAULT_CLIENTS = 4
RECOVERY_LIMIT_S = 60.0
LOOK_S = 0.05
REFUSED_WITHIN_MS = 50.0  # what a refusal should take at most
TIMES_CAPACITY = 3
OPENED_CONNECTIONS = 100


@dataclass(frozen=True)
class Service:
    """The service under test.

    Attributes:
        port: where it answers. paths: what is asked.
        deployments: of shards. replicas: of each.
        deadline_ms: in which a query is answered. capacity: requests at a time.
        seconds: how long one load lasts at least.
    """

    port: int
    paths: list[str]
    deployments: int
    replicas: int
    deadline_ms: float
    capacity: int
    seconds: float


def kill(service: Service, all_replicas: bool) -> dict[str, Any]:
    """One replica of a shard, or all of them, killed in the middle of a load."""
    deployment = f"shard-{service.deployments - 1}"
    killed_at = back_at = 0.0

    def kill_and_wait() -> None:
        nonlocal killed_at, back_at
        time.sleep(1)
        names = replicas_of(deployment)
        killed_at = time.perf_counter()
        for name in names if all_replicas else names[:1]:
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)
        wait_until(lambda: running(deployment) < service.replicas)  # Serve has noticed
        wait_until(lambda: running(deployment) >= service.replicas)
        back_at = time.perf_counter()

    async def scenario() -> list[Answer]:
        load = asyncio.create_task(closed_loop(service.port, service.paths, FAULT_CLIENTS, 4 * service.seconds))
        return await beside(load, kill_and_wait)

    answers = asyncio.run(scenario())
    missing = [answer.ended for answer in answers if answer.partial]
    return {
        "requests": len(answers),
        "errors": sum(answer.status != 200 for answer in answers),
        "partial": len(missing),
        "recovery_s": round(back_at - killed_at, 2),
        "last_partial_s": round(max(missing, default=killed_at) - killed_at, 2),
        "slowest_ms": round(1000 * max(answer.seconds for answer in answers), 1),
        "deadline_ms": service.deadline_ms,
        "shards": shard_counts(answers),
    }


def shard_counts(answers: Sequence[Answer]) -> dict[str, int]:
    """How many answers said which counts of shards."""
    counts = [json.loads(answer.body)["shards"] for answer in answers if answer.status == 200]
    return dict(
        Counter(" ".join(f"{name} {count[name]}" for name in ("ok", "timed_out", "failed")) for count in counts)
    )


def swap(service: Service, index: ServedIndex, swaps: int) -> dict[str, Any]:
    """Two contents take turns under load; an answer must hold documents of the generation that it names alone."""
    published: dict[int, str] = {}

    def publish() -> None:
        for turn in range(swaps):
            time.sleep(service.seconds * 2 / swaps)
            content = CONTENTS[(turn + 1) % len(CONTENTS)]
            published[index.publish(content)] = content

    async def scenario() -> list[Answer]:
        load = asyncio.create_task(closed_loop(service.port, service.paths, FAULT_CLIENTS, service.seconds * 2 + 3))
        return await beside(load, publish)

    answers = asyncio.run(scenario())
    good = [json.loads(answer.body) for answer in answers if answer.status == 200]
    mixed = [
        answer
        for answer in good
        for content in (published.get(answer["generation"], CONTENTS[0]),)
        if not all(hit["id"].startswith(content) for hit in answer["hits"])
    ]
    return {
        "requests": len(answers),
        "errors": len(answers) - len(good),
        "partial": sum(answer.partial for answer in answers),
        "of_another_generation": len(mixed),
        "published": len(published),
        "generations_seen": len({answer["generation"] for answer in good}),
        "last_is_served": good[-1]["generation"] == max(published),
    }


def overload(service: Service) -> dict[str, Any]:
    """Requests that arrive three times as fast as they can be answered.

    The connections that they need were opened before, for probes: a hundred at once take proxy and HTTP server up to a
    second the first time, whatever is asked over them.
    """
    opening = asyncio.run(closed_loop(service.port, ["/healthz"], OPENED_CONNECTIONS, 1.0))
    at_capacity = asyncio.run(closed_loop(service.port, service.paths, service.capacity, service.seconds))
    usual = latency(at_capacity, service.seconds)
    offered = TIMES_CAPACITY * usual["qps"]
    answers = asyncio.run(open_loop(service.port, service.paths, offered, service.seconds))
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 503]
    accepted_ms = latency(accepted, service.seconds) if accepted else None
    in_time = sum(1000 * answer.seconds <= REFUSED_WITHIN_MS for answer in refused)
    return {
        "capacity": service.capacity,
        "opening_connections_ms": latency(opening, 1.0),
        "at_capacity": usual,
        "offered_per_s": round(offered, 1),
        "accepted": len(accepted),
        "refused": len(refused),
        "errors": len(answers) - len(accepted) - len(refused),
        "accepted_ms": accepted_ms,
        "refused_ms": latency(refused, service.seconds) if refused else None,
        "refused_within_50_ms": round(in_time / len(refused), 3) if refused else None,
        "accepted_p99_ratio": round(accepted_ms["p99_ms"] / usual["p99_ms"], 2) if accepted_ms else None,
    }


def replicas_of(deployment: str) -> list[str]:
    """Names of the replicas' actors."""
    names = [actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == "serve"]
    return [name for name in names if f"#{deployment}#" in name]


def running(deployment: str) -> int:
    """Replicas that Serve sends requests to."""
    states = serve.status().applications["lexlip"].deployments[deployment].replica_states
    return sum(count for state, count in states.items() if str(getattr(state, "value", state)) == "RUNNING")


def wait_until(condition: Callable[[], bool]) -> None:
    """Looks again and again.

    Raises:
        TimeoutError: it did not come true.
    """
    end = time.perf_counter() + RECOVERY_LIMIT_S
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError(f"not within {RECOVERY_LIMIT_S} s")
        time.sleep(LOOK_S)
