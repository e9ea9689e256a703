"""The service under load, beside Serve's and uvicorn's own no-op in the same run; then deaths, swaps and overload.

    python benchmarks/serving.py --json benchmarks/results/serving.json

Starts its own Ray, builds an index of synthetic documents (kept in `work` for the next run) and serves it with an
untrained model: first as the service does unless told otherwise, its small shards in one deployment, then with a
deployment for every shard. Percentiles are of single requests over the loopback, clients and service on one machine.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import numpy as np
import ray
import tyro
from ray import serve
from serving_corpus import make_index, make_model, queries
from serving_faults import Service, kill, overload, swap, wait_until
from serving_load import Connection, closed_loop, latency
from serving_noop import noop_application

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from serve.app import deployments_of_shards, lexlip
from serve.settings import ServeSettings

ROOT = Path(__file__).resolve().parents[1]
SERVE_PORT = 8000  # of `serve run`


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Attributes:
        documents: documents of the index. shards: its shards.
        clients: numbers of closed-loop clients.
        seconds: how long each number of clients asks.
        capacity: requests at a time that the service accepts.
        swaps: generations published under load.
        proxy: in front of the service: HAProxy, or Serve's own in Python.
        work: where model and index are kept for the next run.
        json: where to write the result.
    """

    documents: int = 100_000
    shards: int = 4
    clients: tuple[int, ...] = (1, 8, 32)
    seconds: float = 6.0
    capacity: int = 32
    swaps: int = 20
    proxy: Literal["haproxy", "python"] = "haproxy"
    work: Path = Path("out/bench/serving")
    json: Path | None = None


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Benchmark)
    job.work.mkdir(parents=True, exist_ok=True)
    model = make_model(job.work / "model")
    folder = job.work / f"index-{job.documents}-{job.shards}" / "index"
    folder.parent.mkdir(exist_ok=True)
    index = make_index(folder, model, job.documents, job.shards)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Serve's replicas otherwise run at a lower priority than the clients that measure them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Serve reads it when it starts; HAProxy comes with Ray.
    os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = "1" if job.proxy == "haproxy" else "0"
    result: dict[str, Any] = {
        "machine": _machine(),
        "documents": job.documents,
        "shards": job.shards,
        "proxy": job.proxy,
        "cold_start_s": _cold_start(index.folder, model),
    }
    _report("cold_start_s", {"seconds": result["cold_start_s"]})
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    port = _free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    paths = [f"/search?{urlencode({'k': 10, 'q': query})}" for query in queries()]

    usual_shape = deployments_of_shards(job.shards, job.documents, ServeSettings.documents_per_replica)
    result["deployments_of_shards"] = usual_shape
    result["noop"] = _measure_noops(port, usual_shape, job)
    _report("noop", result["noop"])
    arguments = {"index": str(index.folder), "model": str(model), "capacity": str(job.capacity), "cpus": "0.05"}
    result["start_s"] = _deploy(port, arguments)
    result["search"] = _measure_search(port, paths, job.clients, job.seconds)
    result["stages_ms"] = result["search"]["clients"][_fewest(job.clients)]["stages_ms"]
    _report("search", result["search"])
    result["overhead_ms"] = _overhead(result["search"], result["noop"]["serve_graph"])
    replicas, deadline_ms = ServeSettings.replicas, ServeSettings.deadline_ms
    service = Service(port, paths, usual_shape, replicas, deadline_ms, job.capacity, job.seconds)
    _measure_faults(
        result,
        kill_replica=lambda: kill(service, all_replicas=False),
        swap=lambda: swap(service, index, job.swaps),
        overload=lambda: overload(service),
    )
    serve.delete("lexlip")

    graph = _measure_empty(port, job.shards, job, "/graph")["/graph"]
    _deploy(port, arguments | {"documents_per_replica": str(math.ceil(job.documents / job.shards))})
    search = _measure_search(port, paths, job.clients, job.seconds)
    result["a_deployment_for_every_shard"] = {
        "serve_graph": graph,
        "search": search,
        "overhead_ms": _overhead(search, graph),
    }
    _report("a_deployment_for_every_shard", result["a_deployment_for_every_shard"])
    spread = replace(service, deployments=job.shards)
    _measure_faults(result, kill_shard=lambda: kill(spread, all_replicas=True))
    serve.shutdown()
    ray.shutdown()
    if job.json is not None:
        job.json.parent.mkdir(parents=True, exist_ok=True)
        job.json.write_text(json.dumps(result, indent=1) + "\n")


def _cold_start(index: Path, model: Path) -> float:
    """Seconds from `serve run serve.app:lexlip` on a machine without Ray to a service that says it is ready."""
    if _listening(SERVE_PORT):
        raise RuntimeError(f"something listens on port {SERVE_PORT} already, where `serve run` is to answer")
    command = [
        str(Path(sys.executable).with_name("serve")),
        "run",
        "serve.app:lexlip",
        f"index={index}",
        f"model={model}",
    ]
    started = time.perf_counter()
    environment = os.environ | {"RAY_ADDRESS": "local"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: _listening(SERVE_PORT) and _ready(SERVE_PORT))
        return round(time.perf_counter() - started, 1)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def _ready(port: int) -> bool:
    return asyncio.run(Connection(port).ask("/readyz")).status == 200


def _deploy(port: int, arguments: dict[str, str]) -> float:
    """Serves the application; seconds until it says that it is ready."""
    started = time.perf_counter()
    serve.run(lexlip(arguments), name="lexlip")
    wait_until(lambda: _ready(port))
    return round(time.perf_counter() - started, 1)


def _measure_faults(result: dict[str, Any], **faults: Callable[[], dict[str, Any]]) -> None:
    for name, measure in faults.items():
        result[name] = measure()
        _report(name, result[name])


def _measure_noops(port: int, deployments: int, job: Benchmark) -> dict[str, Any]:
    empty = _measure_empty(port, deployments, job, "/noop", "/graph")
    found = {"serve": empty["/noop"], "serve_graph": empty["/graph"]}
    own_port = _free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("serving_noop.py")), str(own_port)])
    try:
        wait_until(lambda: _listening(own_port))
        found["uvicorn"] = {str(clients): _closed(own_port, ["/noop"], clients, job.seconds) for clients in job.clients}
    finally:
        process.terminate()
        process.wait()
    return found


def _measure_empty(port: int, deployments: int, job: Benchmark, *paths: str) -> dict[str, dict[str, Any]]:
    """By path and clients: no hops at all (`/noop`), or those of a search over so many deployments of shards."""
    serve.run(noop_application(deployments, ServeSettings.replicas), name="noop")
    try:
        return {
            path: {str(clients): _closed(port, [path], clients, job.seconds) for clients in job.clients}
            for path in paths
        }
    finally:
        serve.delete("noop")


def _closed(port: int, paths: list[str], clients: int, seconds: float) -> dict[str, float]:
    answers = asyncio.run(closed_loop(port, paths, clients, seconds))
    failed = sum(answer.status != 200 for answer in answers)
    return latency(answers, seconds) | ({"errors": failed} if failed else {})


def _measure_search(port: int, paths: list[str], numbers: tuple[int, ...], seconds: float) -> dict[str, Any]:
    by_clients: dict[str, Any] = {}
    for clients in numbers:
        # New texts in every run: an encoded text is remembered, and a benchmark of the memory would flatter.
        fresh = [f"{path}+{clients}+{number}" for number in range(40) for path in paths]
        answers = asyncio.run(closed_loop(port, fresh, clients, seconds))
        taken = [json.loads(answer.body)["took_ms"] for answer in answers if answer.status == 200]
        by_clients[str(clients)] = {
            **latency(answers, seconds),
            "errors": len(answers) - len(taken),
            "partial": sum(answer.partial for answer in answers),
            "stages_ms": {stage: round(float(np.median([one[stage] for one in taken])), 3) for stage in taken[0]},
        }
    asyncio.run(_ask_once(port, paths))
    known = asyncio.run(closed_loop(port, paths, min(numbers), seconds / 2))
    return {"clients": by_clients, "remembered_texts": latency(known, seconds / 2)}


async def _ask_once(port: int, paths: list[str]) -> None:
    connection = Connection(port)
    for path in paths:
        await connection.ask(path)


def _fewest(numbers: Iterable[int | str]) -> str:
    return str(min(map(int, numbers)))


def _overhead(search: dict[str, Any], graph: dict[str, Any]) -> dict[str, float]:
    """At one client: what a search takes longer than the same hops empty, and what of it is no forward pass."""
    one = _fewest(graph)
    search_ms, graph_ms = search["clients"][one]["p50_ms"], graph[one]["p50_ms"]
    forward_ms = search["clients"][one]["stages_ms"]["forward"]
    return {
        "search_p50_ms": search_ms,
        "same_graph_noop_p50_ms": graph_ms,
        "difference_ms": round(search_ms - graph_ms, 3),
        "forward_pass_ms": forward_ms,
        "without_forward_pass_ms": round(search_ms - graph_ms - forward_ms, 3),
    }


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
