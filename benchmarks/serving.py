"""The service under load, beside Serve's and uvicorn's own no-op in the same run; then deaths, swaps and overload.

    python benchmarks/serving.py --json benchmarks/results/serving.json

Starts its own Ray, builds an index of synthetic documents (kept in `work` for the next run) and serves it with an
untrained model. Percentiles are of single requests over the loopback, clients and service on one machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import ray
import tyro
from ray import serve
from ray.util import list_named_actors
from serving_corpus import make_index, make_model, publish_again, queries
from serving_load import Answer, Connection, beside, closed_loop, latency, open_loop
from serving_noop import noop_application

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from serve.app import lexlip
from serve.settings import ServeSettings

FAULT_CLIENTS = 4
RECOVERY_LIMIT_S = 60.0


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Attributes:
        documents: documents of the index. shards: its shards, each with a deployment of its own.
        clients: numbers of closed-loop clients.
        seconds: how long each number of clients asks.
        capacity: requests at a time that the service accepts.
        swaps: generations published under load.
        work: where model and index are kept for the next run.
        json: where to write the result.
    """

    documents: int = 100_000
    shards: int = 4
    clients: tuple[int, ...] = (1, 8, 32)
    seconds: float = 6.0
    capacity: int = 32
    swaps: int = 20
    work: Path = Path("out/bench/serving")
    json: Path | None = None


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Benchmark)
    job.work.mkdir(parents=True, exist_ok=True)
    model = make_model(job.work / "model")
    index = job.work / f"index-{job.documents}-{job.shards}" / "index"
    index.parent.mkdir(exist_ok=True)
    manifest = make_index(index, model, job.documents, job.shards)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Serve's replicas otherwise run at a lower priority than the clients that measure them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    port = _free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    paths = [f"/search?{urlencode({'k': 10, 'q': query})}" for query in queries()]
    result: dict[str, Any] = {"machine": _machine(), "documents": job.documents, "shards": job.shards}

    result["noop"] = _measure_noops(port, job)
    _report("noop", result["noop"])
    started = time.perf_counter()
    arguments = {"index": str(index), "model": str(model), "capacity": str(job.capacity), "cpus": "0.05"}
    serve.run(lexlip(arguments), name="lexlip")
    _wait_until(lambda: asyncio.run(closed_loop(port, ["/readyz"], 1, 0.01))[-1].status == 200)
    result["start_s"] = round(time.perf_counter() - started, 1)
    result["search"], result["stages_ms"] = _measure_search(port, paths, job)
    _report("search", result["search"] | {"stages_ms": result["stages_ms"]})
    result["overhead_ms"] = _overhead(result)
    for name, measure in (
        ("kill_replica", lambda: _kill(port, paths, job, all_replicas=False)),
        ("kill_shard", lambda: _kill(port, paths, job, all_replicas=True)),
        ("swap", lambda: _swap(port, paths, job, lambda: publish_again(index, manifest))),
        ("overload", lambda: _overload(port, paths, job)),
    ):
        result[name] = measure()
        _report(name, result[name])
    serve.shutdown()
    ray.shutdown()
    if job.json is not None:
        job.json.parent.mkdir(parents=True, exist_ok=True)
        job.json.write_text(json.dumps(result, indent=1) + "\n")


def _measure_noops(port: int, job: Benchmark) -> dict[str, Any]:
    serve.run(noop_application(job.shards, ServeSettings.replicas), name="noop")
    found = {}
    for name, path in (("serve", "/noop"), ("serve_graph", "/graph")):
        found[name] = {str(clients): _closed(port, [path], clients, job.seconds) for clients in job.clients}
    serve.delete("noop")
    own_port = _free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("serving_noop.py")), str(own_port)])
    try:
        _wait_until(lambda: _listening(own_port))
        found["uvicorn"] = {str(clients): _closed(own_port, ["/noop"], clients, job.seconds) for clients in job.clients}
    finally:
        process.terminate()
        process.wait()
    return found


def _closed(port: int, paths: list[str], clients: int, seconds: float) -> dict[str, float]:
    answers = asyncio.run(closed_loop(port, paths, clients, seconds))
    failed = sum(answer.status != 200 for answer in answers)
    return latency(answers, seconds) | ({"errors": failed} if failed else {})


def _measure_search(port: int, paths: list[str], job: Benchmark) -> tuple[dict[str, Any], dict[str, float]]:
    by_clients: dict[str, Any] = {}
    stages: dict[str, float] = {}
    for clients in job.clients:
        # New texts in every run: an encoded text is remembered, and a benchmark of the memory would flatter.
        fresh = [f"{path}+{clients}+{number}" for number in range(40) for path in paths]
        answers = asyncio.run(closed_loop(port, fresh, clients, job.seconds))
        failed = sum(answer.status != 200 for answer in answers)
        partial = sum(answer.partial for answer in answers)
        by_clients[str(clients)] = latency(answers, job.seconds) | {"errors": failed, "partial": partial}
        if clients == min(job.clients):
            taken = [json.loads(answer.body)["took_ms"] for answer in answers if answer.status == 200]
            stages = {stage: round(float(np.median([one[stage] for one in taken])), 3) for stage in taken[0]}
    asyncio.run(_ask_once(port, paths))
    known = asyncio.run(closed_loop(port, paths, min(job.clients), job.seconds / 2))
    return {"clients": by_clients, "remembered_texts": latency(known, job.seconds / 2)}, stages


async def _ask_once(port: int, paths: list[str]) -> None:
    connection = Connection(port)
    for path in paths:
        await connection.ask(path)


def _overhead(result: dict[str, Any]) -> dict[str, float]:
    """At one client: what a search takes longer than the same hops empty, and what of it is no forward pass."""
    one = min(result["search"]["clients"], key=int)
    search, graph = result["search"]["clients"][one]["p50_ms"], result["noop"]["serve_graph"][one]["p50_ms"]
    forward = result["stages_ms"]["forward"]
    return {
        "search_p50_ms": search,
        "same_graph_noop_p50_ms": graph,
        "difference_ms": round(search - graph, 3),
        "forward_pass_ms": forward,
        "without_forward_pass_ms": round(search - graph - forward, 3),
    }


def _kill(port: int, paths: list[str], job: Benchmark, all_replicas: bool) -> dict[str, Any]:
    killed_at = 0.0

    def kill() -> None:
        nonlocal killed_at
        time.sleep(1)
        names = _replicas(f"shard-{job.shards - 1}")
        killed_at = time.perf_counter()
        for name in names if all_replicas else names[:1]:
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)

    async def scenario() -> list[Answer]:
        load = asyncio.create_task(closed_loop(port, paths, FAULT_CLIENTS, 4 * job.seconds))
        return await beside(load, kill)

    answers = asyncio.run(scenario())
    _wait_until(lambda: len(_replicas(f"shard-{job.shards - 1}")) >= 2)
    missing = [answer.ended for answer in answers if answer.partial]
    slowest = max(answer.seconds for answer in answers)
    return {
        "requests": len(answers),
        "errors": sum(answer.status != 200 for answer in answers),
        "partial": len(missing),
        "recovery_s": round(max(missing, default=killed_at) - killed_at, 2),
        "slowest_ms": round(1000 * slowest, 1),
    }


def _swap(port: int, paths: list[str], job: Benchmark, publish: Callable[[], int]) -> dict[str, Any]:
    published = []

    def swap() -> None:
        for _ in range(job.swaps):
            time.sleep(job.seconds * 2 / job.swaps)
            published.append(publish())

    async def scenario() -> list[Answer]:
        load = asyncio.create_task(closed_loop(port, paths, FAULT_CLIENTS, job.seconds * 2 + 3))
        return await beside(load, swap)

    answers = asyncio.run(scenario())
    good = [json.loads(answer.body) for answer in answers if answer.status == 200]
    return {
        "requests": len(answers),
        "errors": len(answers) - len(good),
        "partial": sum(answer.partial for answer in answers),
        "published": len(published),
        "generations_seen": len({answer["generation"] for answer in good}),
        "last_is_served": good[-1]["generation"] == published[-1],
    }


def _overload(port: int, paths: list[str], job: Benchmark) -> dict[str, Any]:
    at_capacity = asyncio.run(closed_loop(port, paths, job.capacity, job.seconds))
    usual = latency(at_capacity, job.seconds)
    answers = asyncio.run(open_loop(port, paths, 3 * usual["qps"], job.seconds))
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 503]
    return {
        "capacity": job.capacity,
        "at_capacity": usual,
        "offered_per_s": round(3 * usual["qps"], 1),
        "accepted": len(accepted),
        "refused": len(refused),
        "errors": len(answers) - len(accepted) - len(refused),
        "accepted_ms": latency(accepted, job.seconds) if accepted else None,
        "refused_ms": latency(refused, job.seconds) if refused else None,
    }


def _replicas(deployment: str) -> list[str]:
    names = [actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == "serve"]
    return [name for name in names if f"#{deployment}#" in name]


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.perf_counter() + RECOVERY_LIMIT_S
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError(f"not within {RECOVERY_LIMIT_S} s")
        time.sleep(0.1)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": "python " + " ".join(sys.argv),
    }


def _report(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main()
