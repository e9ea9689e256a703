"""An S3 server of this machine, and an index in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

from lexlip.index import BuildSettings, Manifest, build_shard, publish

BUCKET = "photos"
VOCABULARY_TERMS = 300
DOCUMENTS = 150
TERMS_OF_A_DOCUMENT = 8
SHARDS = 3


@dataclass
class Store:
    """The server, and what was asked of it.

    Attributes:
        endpoint: its address.
        asked: method and path of every request, in order.
    """

    endpoint: str
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def client(self) -> Any:
        """Amazon's own client, to look into the store with."""
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")

    def keys(self, prefix: str) -> list[str]:
        """The names of the objects below a prefix."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"].rpartition("/")[2] for entry in found]

    def fetched(self) -> set[str]:
        """Names of the objects whose content was asked for since the last call."""
        names = {path.partition("?")[0].rpartition("/")[2] for method, path in self.asked if method == "GET"}
        self.asked.clear()
        return names


@pytest.fixture(scope="session")
def server() -> Iterator[Store]:
    """Moto's S3 server on a free port."""
    store = Store("")
    remember = WSGIRequestHandler.log_request

    def log_request(handler: WSGIRequestHandler, *_: object) -> None:
        store.asked.append((handler.command, handler.path))

    WSGIRequestHandler.log_request = log_request  # type: ignore[method-assign]
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    store.endpoint = f"http://{host}:{port}"
    yield store
    running.stop()
    WSGIRequestHandler.log_request = remember  # type: ignore[method-assign]


@pytest.fixture
def store(server: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The server with one empty bucket, an environment that leads to it, and an empty cache."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("LEXLIP_CACHE", str(tmp_path / "cache"))
    server.client.create_bucket(Bucket=BUCKET)
    for entry in server.client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        server.client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    server.asked.clear()
    return server


@pytest.fixture
def forget(tmp_path: Path) -> Callable[[], None]:
    """Empties the cache, as if on another machine."""
    return lambda: shutil.rmtree(tmp_path / "cache")


@pytest.fixture(scope="session")
def vector_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """LexiconVector files with a caption, one for each shard."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("vectors")
    files = []
    for part, numbers in enumerate(np.array_split(np.arange(DOCUMENTS), SHARDS)):
        terms = [np.sort(random.choice(VOCABULARY_TERMS, TERMS_OF_A_DOCUMENT, replace=False)) for _ in numbers]
        weights = [random.uniform(0.1, 1, TERMS_OF_A_DOCUMENT) for _ in numbers]
        table = pa.table(
            {
                "id": [f"photo-{number}" for number in numbers],
                "terms": pa.array(terms, pa.list_(pa.int32())),
                "weights": pa.array(weights, pa.list_(pa.float32())),
                "captions": [[f"caption {number}"] for number in numbers],
            }
        )
        pq.write_table(table, folder / f"part-{part:05d}.parquet")
        files.append(folder / f"part-{part:05d}.parquet")
    return files


@pytest.fixture(scope="session")
def build(vector_files: list[Path]) -> Callable[..., Manifest]:
    """Indexes the first vector files, one shard each, in a folder or at a URL."""

    def build_at(where: str | Path, shards: int = SHARDS) -> Manifest:
        settings = BuildSettings(maximum_weight=1.0)
        return publish(
            where,
            [
                build_shard([file], where, shard, settings, vocabulary_terms=VOCABULARY_TERMS)
                for shard, file in enumerate(vector_files[:shards])
            ],
            vocabulary_fingerprint="0123456789abcdef",
            model_fingerprint="fedcba9876543210",
            settings=settings,
            vocabulary_terms=VOCABULARY_TERMS,
        )

    return build_at
