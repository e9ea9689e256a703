"""The graph on Ray, in processes of its own: memory, deaths, and new generations of the index under load."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import numpy as np

from lexlip.tables import LexiconVector

if TYPE_CHECKING:
    from conftest import ServedCorpus

    from lexlip.index import Index

# All documents: whatever is missing, twice there or from elsewhere shows.
QUERY = {"text": "two red cars at the beach", "k": 40}
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


def ids_and_scores(answer: httpx.Response) -> list[tuple[str, float]]:
    return [(hit["id"], hit["score"]) for hit in answer.json()["hits"]]


def searched_vector(corpus: ServedCorpus, answer: httpx.Response) -> LexiconVector:
    """What an answer says was searched: another process may encode a text differently in the last bit."""
    weights = {corpus.model.vocabulary.id_of(term["term"]): term["weight"] for term in answer.json()["query"]["terms"]}
    terms = sorted(weights)
    return LexiconVector(np.array(terms, np.int32), np.array([weights[term] for term in terms], np.float32))


def hits_in_the_library(index: Index, vector: LexiconVector, k: int) -> list[tuple[str, float]]:
    """What an index gives on one machine, in one process."""
    best = index.search(vector.terms, vector.weights, k)
    return [(row["id"], score) for row, score in zip(index.stored(best.positions), best.scores.tolist(), strict=True)]


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


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def wait_for_shards(url: str, wanted: Callable[[dict[str, int]], bool]) -> None:
    wait_until(lambda: wanted(httpx.post(f"{url}/search", json=QUERY, timeout=30).json()["shards"]))


def wait_until_whole(url: str) -> None:
    wait_for_shards(url, lambda counts: counts["ok"] == counts["total"])


def test_shard_replicas_answer_without_torch_and_stay_small(cluster_url: str, served_corpus: ServedCorpus) -> None:
    answer = httpx.post(f"{cluster_url}/search", json=QUERY | {"k": 5}, timeout=30)
    vector = served_corpus.model.encode_text([QUERY["text"]], top_terms=32)[0]
    expected = hits_in_the_library(served_corpus.open(), vector, 5)
    assert [name for name, _ in ids_and_scores(answer)] == [name for name, _ in expected]

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


def test_under_load_every_answer_is_that_of_the_one_generation_it_names(
    cluster_url: str, served_corpus: ServedCorpus
) -> None:
    wait_until_whole(cluster_url)
    vector = searched_vector(served_corpus, httpx.post(f"{cluster_url}/search", json=QUERY, timeout=30))
    entries = served_corpus.entries
    # Where the first shard is gone or the last one comes first, the others hold other documents at the same positions.
    contents = [entries, entries[1:], entries[:-1], entries[::-1]]
    expected = {}

    def remember() -> int:
        index = served_corpus.open()
        manifest = index.manifest
        expected[manifest.generation] = len(manifest.shards), hits_in_the_library(index, vector, QUERY["k"])
        return manifest.generation

    def wait_for(generation: int) -> None:
        wait_until(lambda: any(answer.json().get("generation") == generation for answer in answers[-CLIENTS:]))

    remember()
    with load(cluster_url) as answers:
        for content in contents * 2:
            served_corpus.publish(content)
            wait_for(remember())
        # Now without waiting: every process sees some of these and misses others.
        for content in [*contents, entries]:
            time.sleep(0.3)
            served_corpus.publish(content)
            last = remember()
        wait_for(last)

    assert len({tuple(hits) for _, hits in expected.values()}) >= 3, "contents that cannot be told apart prove nothing"
    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    for answer in answers:
        shards, hits = expected[answer.json()["generation"]]
        assert ids_and_scores(answer) == hits
        assert answer.json()["shards"] == {"total": shards, "ok": shards, "timed_out": 0, "failed": 0}


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
    assert counts["total"] == served_corpus.shards
    assert counts["ok"] == served_corpus.shards - SHARDS_OF_ONE_DEPLOYMENT
    # The call fails or waits for a replica that never comes; either way both shards fare alike.
    assert {counts["timed_out"], counts["failed"]} == {0, SHARDS_OF_ONE_DEPLOYMENT}
    assert complete.status_code == 503
    assert int(complete.headers["retry-after"]) >= 1
    missing = re.match(r"(\d) of (\d) shards did not answer \((\d) timed out, (\d) failed\)", complete.json()["detail"])
    assert missing is not None
    lost, total, timed_out, failed = map(int, missing.groups())
    assert (lost, total) == (SHARDS_OF_ONE_DEPLOYMENT, served_corpus.shards)
    assert {timed_out, failed} == {0, SHARDS_OF_ONE_DEPLOYMENT}
    wait_until_whole(cluster_url)
