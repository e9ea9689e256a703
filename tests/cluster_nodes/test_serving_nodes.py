"""Shards on three nodes, one of which is killed: the service answers on, says what is missing, and is whole again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lexlip.index import BuildSettings, build_shard, publish

if TYPE_CHECKING:
    from conftest import Cluster, Node

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SHARDS = 3
WHOLE_IN_A_ROW = 10
WAIT_SECONDS = 900
SECONDS_BEFORE_KILL = 1.0
CLIENT_PAUSE = 0.05


@pytest.fixture(scope="module")
def index(scenes: Path, tiny_lexlip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes in three shards."""
    from lexlip.model.lexlip import LexLIP

    model, pairs = LexLIP.from_pretrained(tiny_lexlip), pq.read_table(scenes)
    vectors = model.encode_image(pairs["image"].to_pylist(), top_terms=24)
    columns = {
        "id": pairs["image_id"],
        "terms": pa.array([vector.terms for vector in vectors], pa.list_(pa.int32())),
        "weights": pa.array([vector.weights for vector in vectors], pa.list_(pa.float32())),
    }
    folder, rows = tmp_path_factory.mktemp("index"), len(vectors) // SHARDS
    terms, settings, entries = len(model.vocabulary), BuildSettings(), []
    for shard in range(SHARDS):
        part = folder / f"vectors-{shard}.parquet"
        pq.write_table(pa.table(columns).slice(shard * rows, rows if shard < SHARDS - 1 else None), part)
        entries.append(build_shard([part], folder / "index", shard, settings, vocabulary_terms=terms))
    publish(
        folder / "index",
        entries,
        vocabulary_fingerprint=model.vocabulary.fingerprint,
        model_fingerprint=model.fingerprint,
        settings=settings,
        vocabulary_terms=terms,
    )
    return folder / "index"


@pytest.fixture
def service(cluster: Cluster, index: Path, tiny_lexlip: Path, unused_port: int, tmp_path: Path) -> Iterator[str]:
    """cluster/serve.yaml deployed, with one replica a shard, so that a node that goes takes a shard with it."""
    config = yaml.safe_load((ROOT / "cluster" / "serve.yaml").read_text())
    config["proxy_location"] = "HeadOnly"  # one machine has one such port
    config["http_options"]["port"] = unused_port
    (application,) = config["applications"]
    application["args"] |= {"index": str(index), "model": str(tiny_lexlip), "replicas": "1", "gateway_replicas": "1"}
    application["args"] |= {"cpus": "0.2", "deadline_ms": "2000", "threads": "1"}
    application["runtime_env"]["working_dir"] = f"local://{ROOT}"
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    address = ["--address", cluster.dashboard]
    status, output = cluster.run("serve", "deploy", *address, str(file), log=tmp_path / "deploy.log")
    assert status == 0, output
    url = f"http://127.0.0.1:{config['http_options']['port']}"
    wait_for_whole_answers(url)
    yield url
    cluster.run("serve", "shutdown", *address, "--yes", log=tmp_path / "shutdown.log")


def search(url: str) -> httpx.Response | None:
    """One answer; None while nobody listens."""
    try:
        return httpx.post(f"{url}/search", json={"text": "two red cars", "k": 5}, timeout=60)
    except httpx.TransportError:
        return None


def is_whole(answer: httpx.Response | None) -> bool:
    return answer is not None and answer.status_code == 200 and answer.json()["shards"]["ok"] == SHARDS


def wait_for_whole_answers(url: str) -> None:
    end, whole = time.monotonic() + WAIT_SECONDS, 0
    while whole < WHOLE_IN_A_ROW:
        assert time.monotonic() < end, "shards are still missing"
        whole = whole + 1 if is_whole(search(url)) else 0
        time.sleep(CLIENT_PAUSE)


@contextmanager
def light_load(url: str) -> Iterator[list[httpx.Response]]:
    """One client that asks one question after the other while the block runs; yields the answers, still growing."""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not stop.is_set():
                answers.append(client.post("/search", json={"text": f"{len(answers)} red cars", "k": 5}))
                time.sleep(CLIENT_PAUSE)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def replicas_on(node: Node) -> list[str]:
    """Deployments with a replica on a node."""
    titles = [" ".join(process.cmdline()) for process in node.processes("ServeReplica")]
    return sorted(title.split(":")[-1].split(".")[0].strip() for title in titles)


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_node_killed_under_load_is_missed_by_name_and_replaced(
    cluster: Cluster, service: str, show: Callable[[str], None]
) -> None:
    placed = {node.name: replicas_on(node) for node in cluster.nodes}
    candidates = [node for node in cluster.nodes if "Gateway" not in str(placed[node.name])]
    victim = max(candidates, key=lambda node: str(placed[node.name]).count("shard"))
    assert "shard" in str(placed[victim.name]), placed
    with light_load(service) as answers:
        time.sleep(SECONDS_BEFORE_KILL)
        before = len(answers)
        cluster.kill(victim)
        wait_for_whole_answers(service)

    counts = [answer.json()["shards"] for answer in answers if answer.status_code == 200]
    partial = [answer for answer in answers if answer.status_code == 200 and not is_whole(answer)]
    statuses = Counter(answer.status_code for answer in answers)
    assert 0 < before < len(answers)
    assert set(statuses) <= {200, 503}, statuses
    assert partial
    assert {count["ok"] + count["timed_out"] + count["failed"] for count in counts} == {SHARDS}
    assert all(answer.json()["hits"] for answer in partial)
    show("; ".join(f"{name}: {', '.join(replicas)}" for name, replicas in placed.items()))
    show(f"{victim.name} killed after {before} answers; then {len(answers) - before} more, {dict(statuses)} in all")
    show(f"{len(partial)} answers named missing shards, then all were whole again")
