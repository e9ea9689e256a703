"""One running service for all tests here: a real index of drawn scenes in four shards, served by the whole graph."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.index import BuildSettings, Index, Manifest, ShardEntry, build_shard, publish

if TYPE_CHECKING:
    from lexlip.model.lexlip import LexLIP

SHARDS = 4
TERMS_OF_AN_IMAGE = 24
# An id is looked up, never opened: it may look like a path or hold any sign.
ODD_ID = "../odd names/ä&#1?.jpg"


@dataclass(frozen=True)
class ServedCorpus:
    """The corpus behind the service, and what is needed to publish it again."""

    folder: Path
    model_folder: Path
    model: LexLIP
    pictures: dict[str, bytes]
    entries: list[ShardEntry]
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
        )

    def open(self) -> Index:
        """The published index, opened by the library."""
        return Index.open(self.folder)


@pytest.fixture(scope="session")
def served_corpus(scenes: Path, tiny_lexlip: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedCorpus:
    """Drawn scenes, encoded and indexed in four shards, with captions, concepts, a number and thumbnails stored."""
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
    entries = []
    for shard in range(SHARDS):
        part = folder / f"vectors-{shard}.parquet"
        pq.write_table(table.slice(shard * rows, rows if shard < SHARDS - 1 else None), part)
        entries.append(
            build_shard([part], folder / "index", shard, BuildSettings(), vocabulary_terms=len(model.vocabulary))
        )
    corpus = ServedCorpus(folder / "index", tiny_lexlip, model, dict(zip(ids, pictures, strict=True)), entries)
    corpus.publish()
    return corpus


@pytest.fixture(scope="session")
def service_url(ray_session: None, served_corpus: ServedCorpus) -> Iterator[str]:
    """Where the running service answers: two shard deployments of two shards and two replicas each."""
    from ray import serve

    from serve.app import lexlip

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    arguments = {
        "index": str(served_corpus.folder),
        "model": str(served_corpus.model_folder),
        "shards_per_replica": "2",
        "max_upload_bytes": str(2**20),
        "max_image_pixels": "1000000",
        "cpus": "0.05",
    }
    serve.run(lexlip(arguments), name="lexlip")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture
def client(service_url: str) -> Iterator[httpx.Client]:
    """An HTTP client of the service."""
    with httpx.Client(base_url=service_url, timeout=30) as opened:
        yield opened
