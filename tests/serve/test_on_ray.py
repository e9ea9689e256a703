"""The graph on Ray, in processes of its own: memory, deaths, and new generations of the index under load."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from conftest import ServedCorpus

QUERY = {"text": "two red cars at the beach", "k": 5}
CLIENTS = 3
SHARDS_OF_ONE_DEPLOYMENT = 2


@contextmanager
def load(url: str) -> Iterator[list[httpx.Response]]:
    """Clients that search one after the other while the block runs; yields their answers, still growing."""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def search() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                answers.append(client.post("/search", json=QUERY))

    threads = [threading.Thread(target=search) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def shards_of(answers: list[httpx.Response]) -> set[tuple[int, int, int]]:
    """The different (ok, timed out, failed) counts among answers."""
    counts = [answer.json()["shards"] for answer in answers]
    return {(count["ok"], count["timed_out"], count["failed"]) for count in counts}


def replicas_of(deployment: str) -> list[str]:
    from ray.util import list_named_actors

    names = [actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == "serve"]
    return [name for name in names if f"#{deployment}#" in name]


def kill(replica: str) -> None:
    import ray

    ray.kill(ray.get_actor(replica, namespace="serve"), no_restart=True)


@contextmanager
def kept_dead(url: str, deployment: str) -> Iterator[None]:
    """No replica of the deployment answers while the block runs, however quickly Serve starts new ones."""
    stop = threading.Event()

    def keep_dead() -> None:
        while not stop.is_set():
            for replica in replicas_of(deployment):
                with suppress(ValueError):  # gone since it was listed
                    kill(replica)
            time.sleep(0.05)

    killer = threading.Thread(target=keep_dead)
    killer.start()
    try:
        wait_for_shards(url, lambda counts: counts["failed"] + counts["timed_out"] > 0)
        yield
    finally:
        stop.set()
        killer.join()


def wait_for_shards(url: str, wanted: Callable[[dict[str, int]], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counts = httpx.post(f"{url}/search", json=QUERY, timeout=30).json()["shards"]
        if wanted(counts):
            return
        time.sleep(0.2)
    raise AssertionError(f"after {seconds} s shards are still {counts}")


def wait_until_whole(url: str) -> None:
    wait_for_shards(url, lambda counts: counts["ok"] == counts["total"])


def test_shard_replicas_answer_without_torch_and_stay_small(cluster_url: str, served_corpus: ServedCorpus) -> None:
    answer = httpx.post(f"{cluster_url}/search", json=QUERY, timeout=30).json()
    vector = served_corpus.model.encode_text([QUERY["text"]], top_terms=64)[0]
    index = served_corpus.open()
    best = index.search(vector.terms, vector.weights, 5)
    assert [hit["id"] for hit in answer["hits"]] == [row["id"] for row in index.stored(best.positions)]

    deployments = httpx.get(f"{cluster_url}/stats", timeout=30).json()["shard_deployments"]
    assert [deployment["shards"] for deployment in deployments] == [SHARDS_OF_ONE_DEPLOYMENT] * 2
    assert not any(deployment["torch"] for deployment in deployments)
    assert all(deployment["private_bytes"] < 200 * 2**20 for deployment in deployments)


def test_what_computes_gives_way_to_the_gateway(cluster_url: str) -> None:
    import psutil

    def highest_niceness(process: psutil.Process) -> int:
        return max(os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads())

    niceness = {
        " ".join(process.info["cmdline"]): highest_niceness(process)
        for process in psutil.process_iter(["cmdline"])
        if "ServeReplica:lexlip" in " ".join(process.info["cmdline"] or [])
    }
    gateways = {nice for title, nice in niceness.items() if ":Gateway" in title}
    others = [nice for title, nice in niceness.items() if ":Gateway" not in title]
    assert len(others) >= 3  # two encoders and the shards
    assert min(others) > max(gateways)


def test_new_generations_are_served_under_load_without_an_error(cluster_url: str, served_corpus: ServedCorpus) -> None:
    with load(cluster_url) as answers:
        published = []
        for _ in range(5):
            time.sleep(0.3)
            published.append(served_corpus.publish().generation)
        end = time.monotonic() + 30
        while time.monotonic() < end and (not answers or answers[-1].json()["generation"] != published[-1]):
            time.sleep(0.1)

    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    assert shards_of(answers) == {(served_corpus.shards, 0, 0)}
    assert answers[-1].json()["generation"] == published[-1]
    assert len({tuple(hit["id"] for hit in answer.json()["hits"]) for answer in answers}) == 1


def test_one_of_two_replicas_killed_costs_no_request(cluster_url: str, served_corpus: ServedCorpus) -> None:
    wait_until_whole(cluster_url)
    with load(cluster_url) as answers:
        time.sleep(0.3)
        kill(replicas_of("shard-1")[0])
        time.sleep(2)

    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    assert shards_of(answers) == {(served_corpus.shards, 0, 0)}


def test_a_deployment_that_is_gone_makes_partial_answers_that_say_so_until_it_is_back(
    cluster_url: str, served_corpus: ServedCorpus
) -> None:
    wait_until_whole(cluster_url)
    with kept_dead(cluster_url, "shard-0"):
        partial = httpx.post(f"{cluster_url}/search", json=QUERY, timeout=30)
        complete = httpx.post(f"{cluster_url}/search", json=QUERY | {"require_complete": True}, timeout=30)

    counts = partial.json()["shards"]
    assert partial.status_code == 200
    assert partial.json()["hits"]
    assert counts["ok"] == served_corpus.shards - SHARDS_OF_ONE_DEPLOYMENT
    assert counts["timed_out"] + counts["failed"] == SHARDS_OF_ONE_DEPLOYMENT
    assert complete.status_code == 503
    assert int(complete.headers["retry-after"]) >= 1
    wait_until_whole(cluster_url)
