"""One corpus and two ways to serve it: a real index of drawn scenes in four shards, behind the whole graph.

Most tests ask the graph inside this process; those about processes, deaths and swaps ask it on Ray.
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn

from lexlip.index import (
    BuildSettings,
    CaptionField,
    CaptionIndexing,
    Index,
    Manifest,
    ShardEntry,
    build_shard,
    measure_captions,
    publish,
)
from lexlip.model.query_lookup import QueryLookup

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from lexlip.model.lexlip import LexLIP
    from serve.settings import ServeSettings

SHARDS = 4
DEPLOYMENTS = 2
TERMS_OF_AN_IMAGE = 24
# An id is looked up, never opened: it may look like a path or hold any sign.
ODD_ID = "../odd names/ä&#1?.jpg"
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class ServedCorpus:
    """The corpus behind the service, and what is needed to publish it again."""

    folder: Path
    model_folder: Path
    model: LexLIP
    pictures: dict[str, bytes]
    entries: list[ShardEntry]
    captions: CaptionField
    odd_id: str = ODD_ID
    shards: int = SHARDS
    image_terms: int = TERMS_OF_AN_IMAGE

    def publish(self, entries: list[ShardEntry] | None = None) -> Manifest:
        """Publishes the next generation, with the same shards or others."""
        return publish(
            self.folder,
            entries or self.entries,
            vocabulary_fingerprint=self.model.vocabulary.fingerprint,
            model_fingerprint=self.model.fingerprint,
            settings=BuildSettings(),
            vocabulary_terms=len(self.model.vocabulary),
            captions=self.captions,
        )

    def publish_without_captions(self) -> Manifest:
        """Publishes the next generation with shards of the same documents that hold no captions' words."""
        terms = len(self.model.vocabulary)
        parts = [self.folder.parent / f"vectors-{shard}.parquet" for shard in range(self.shards)]
        return publish(
            self.folder,
            [
                build_shard([part], self.folder, self.shards + number, BuildSettings(), vocabulary_terms=terms)
                for number, part in enumerate(parts)
            ],
            vocabulary_fingerprint=self.model.vocabulary.fingerprint,
            model_fingerprint=self.model.fingerprint,
            settings=BuildSettings(),
            vocabulary_terms=terms,
        )

    def open(self) -> Index:
        """The published index, opened by the library."""
        return Index.open(self.folder)


@pytest.fixture(scope="session")
def served_corpus(scenes: Path, tiny_lexlip: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedCorpus:
    """Drawn scenes and the words of their captions in four shards; concepts, a number and thumbnails are stored too."""
    from lexlip.model.lexlip import LexLIP

    model = LexLIP.from_pretrained(tiny_lexlip)
    pairs = pq.read_table(scenes)
    ids = [ODD_ID, *pairs["image_id"].to_pylist()[1:]]
    pictures = pairs["image"].to_pylist()
    vectors = model.encode_image(pictures, top_terms=TERMS_OF_AN_IMAGE)
    table = pa.table(
        {
            "id": ids,
            "terms": pa.array([vector.terms for vector in vectors], pa.list_(pa.int32())),
            "weights": pa.array([vector.weights for vector in vectors], pa.list_(pa.float32())),
            "captions": pairs["captions"],
            "concepts": pairs["concepts"],
            "number": list(range(len(ids))),
            "thumbnail": pairs["image"],
        }
    )
    folder = tmp_path_factory.mktemp("served")
    rows = len(ids) // SHARDS
    parts = [folder / f"vectors-{shard}.parquet" for shard in range(SHARDS)]
    for shard, part in enumerate(parts):
        pq.write_table(table.slice(shard * rows, rows if shard < SHARDS - 1 else None), part)
    field = measure_captions(parts, model.vocabulary).field(model.vocabulary)
    indexing, terms = CaptionIndexing(field, model.vocabulary), len(model.vocabulary)
    entries = [
        build_shard([part], folder / "index", shard, BuildSettings(), vocabulary_terms=terms, captions=indexing)
        for shard, part in enumerate(parts)
    ]
    corpus = ServedCorpus(folder / "index", tiny_lexlip, model, dict(zip(ids, pictures, strict=True)), entries, field)
    corpus.publish()
    return corpus


def arguments_of(corpus: ServedCorpus) -> dict[str, str]:
    """What an operator would type after `serve run serve.app:lexlip`."""
    return {
        "index": str(corpus.folder),
        "model": str(corpus.model_folder),
        "documents_per_replica": str(math.ceil(corpus.open().documents / DEPLOYMENTS)),
        "max_upload_bytes": str(2**20),
        "max_image_pixels": "1000000",
        "cpus": "0.05",
        # Long enough that a slow machine alone makes no partial answer.
        "deadline_ms": "4000",
    }


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(settings: ServeSettings) -> Iterator[str]:
    """Where the gateway answers, with all deployments of the graph as threads of this process (Serve's local mode)."""
    from ray import serve

    from serve.encoders import ImageEncoder, TextEncoder
    from serve.gateway import Gateway
    from serve.shards import ShardReplica

    def deploy(name: str, kind: type, *arguments: object) -> object:
        return serve.run(
            serve.deployment(kind, name=name).bind(settings, *arguments), name=name, _local_testing_mode=True
        )

    texts = None if settings.lookup else deploy("text", TextEncoder)
    images = deploy("image", ImageEncoder)
    shards = [deploy(f"shard-{group}", ShardReplica, group, DEPLOYMENTS) for group in range(DEPLOYMENTS)]
    port, stopping = free_port(), threading.Event()

    async def answer_http() -> None:
        gateway = Gateway.__new__(Gateway)
        await gateway.__init__(settings, None, texts, images, *shards)
        server = uvicorn.Server(
            uvicorn.Config(gateway.__serve_build_asgi_app__(), host="127.0.0.1", port=port, log_level="error")
        )
        running = asyncio.create_task(server.serve())
        while not stopping.is_set():
            await asyncio.sleep(0.05)
        server.should_exit = True
        await running

    thread = threading.Thread(target=lambda: asyncio.run(answer_http()), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
    yield url
    stopping.set()
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def service_url(served_corpus: ServedCorpus) -> Iterator[str]:
    """Where a service over the corpus answers."""
    from serve.settings import ServeSettings

    with serving(ServeSettings.from_arguments(arguments_of(served_corpus)).located()) as url:
        yield url


@pytest.fixture(scope="module")
def looked_up_url(served_corpus: ServedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the same answers without a text encoder: every term of a text weighs the same."""
    from serve.settings import ServeSettings

    vocabulary = served_corpus.model.vocabulary
    weights = np.ones(len(vocabulary), np.float32)
    weights[list(vocabulary.special_ids)] = 0
    folder = tmp_path_factory.mktemp("lookup")
    QueryLookup(vocabulary, weights).save(folder)
    arguments = arguments_of(served_corpus) | {"lookup": str(folder)}
    with serving(ServeSettings.from_arguments(arguments).located()) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(ray_session: None, served_corpus: ServedCorpus) -> Iterator[str]:
    """Where the same graph answers on Ray: two shard deployments with two replicas each, in processes of their own."""
    from ray import serve

    from serve.app import lexlip

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(lexlip(arguments_of(served_corpus)), name="lexlip")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips when there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    if not CHROMIUM.exists():
        pytest.skip("no browser: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Looks again and again; fails when the condition does not come true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def client(service_url: str) -> Iterator[httpx.Client]:
    """An HTTP client of the service."""
    with httpx.Client(base_url=service_url, timeout=30) as opened:
        yield opened


@pytest.fixture
def bare_client(client: httpx.Client, served_corpus: ServedCorpus) -> Iterator[httpx.Client]:
    """A client of the service on a generation without captions; afterwards it has them again."""
    bare = served_corpus.publish_without_captions().generation
    wait_until(lambda: client.get("/stats").json()["generation"] == bare)
    yield client
    again = served_corpus.publish().generation
    wait_until(lambda: client.get("/stats").json()["generation"] == again)
