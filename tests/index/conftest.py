"""Small collections of lexicon vectors, written and indexed for real."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.index import BuildSettings, Index, build_shard, publish
from lexlip.index.exhaustive import exhaustive_search
from lexlip.tables import LexiconVector


@dataclass(frozen=True)
class Collection:
    """Documents as one run of postings: document i has terms[starts[i]:starts[i + 1]]."""

    starts: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    vocabulary_terms: int

    def __len__(self) -> int:
        return self.starts.size - 1

    def vector(self, document: int) -> LexiconVector:
        """One document."""
        here = slice(self.starts[document], self.starts[document + 1])
        return LexiconVector(self.terms[here], self.weights[here])


@pytest.fixture(scope="session")
def make_collection() -> Callable[..., Collection]:
    """Makes topical documents: each draws most terms from one of a few topics, and some from all."""

    def make(documents: int, vocabulary_terms: int = 300, mean_terms: int = 12, seed: int = 0) -> Collection:
        random = np.random.default_rng(seed)
        topics = [random.choice(vocabulary_terms, min(40, vocabulary_terms), replace=False) for _ in range(8)]
        rows = []
        for _ in range(documents):
            wanted = min(int(random.poisson(mean_terms)), vocabulary_terms // 2)
            own = random.choice(topics[random.integers(8)], wanted)
            any_terms = random.zipf(1.3, wanted // 3) % vocabulary_terms
            rows.append(np.unique(np.concatenate([own, any_terms])).astype(np.int32))
        starts = np.concatenate([[0], np.cumsum([row.size for row in rows])]).astype(np.int64)
        weights = random.gamma(2.0, 0.15, starts[-1]).clip(0.001, 1).astype(np.float32)
        return Collection(starts, np.concatenate([np.empty(0, np.int32), *rows]), weights, vocabulary_terms)

    return make


@pytest.fixture(scope="session")
def write_vectors() -> Callable[..., Path]:
    """Writes documents [first, last) of a collection as a LexiconVector file with captions and thumbnails."""

    def write(
        collection: Collection, path: Path, first: int = 0, last: int | None = None, prefix: str = "photo"
    ) -> Path:
        last = len(collection) if last is None else last
        here = slice(collection.starts[first], collection.starts[last])
        offsets = pa.array((collection.starts[first : last + 1] - collection.starts[first]).astype(np.int32))
        numbers = range(first, last)
        table = pa.table(
            {
                "id": [f"{prefix}-{number}" for number in numbers],
                "terms": pa.ListArray.from_arrays(offsets, pa.array(collection.terms[here])),
                "weights": pa.ListArray.from_arrays(offsets, pa.array(collection.weights[here])),
                "captions": [[f"caption {number}", "second"] for number in numbers],
                "thumbnail": pa.array([b"jpeg %d" % number for number in numbers], pa.binary()),
            }
        )
        pq.write_table(table, path, row_group_size=500)
        return path

    return write


@pytest.fixture(scope="session")
def build_index(write_vectors: Callable[..., Path]) -> Callable[..., Path]:
    """Indexes a collection in some shards; returns the folder."""

    def build(collection: Collection, folder: Path, shards: int = 1, settings: BuildSettings | None = None) -> Path:
        settings = settings or BuildSettings(maximum_weight=1.0)
        borders = np.linspace(0, len(collection), shards + 1).astype(int)
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        for shard in range(shards):
            file = write_vectors(collection, folder / f"v{shard}.parquet", borders[shard], borders[shard + 1])
            entries.append(build_shard([file], folder, shard, settings, vocabulary_terms=collection.vocabulary_terms))
        publish(
            folder,
            entries,
            vocabulary_fingerprint="0123456789abcdef",
            model_fingerprint="fedcba9876543210",
            settings=settings,
            vocabulary_terms=collection.vocabulary_terms,
        )
        return folder

    return build


def whole_units(weights: np.ndarray) -> np.ndarray:
    """Query weights as the engine rounds them: units of 2^-23 of their sum, which is rounded up to a power of two."""
    _, exponent = np.frexp(sum(abs(float(weight)) for weight in weights))
    units = np.rint(np.ldexp(np.asarray(weights, np.float64), 23 - exponent))
    return np.where(units == 0, np.sign(weights), units).astype(np.int64)


@pytest.fixture(scope="session")
def brute_force() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Positions and float scores of the k best documents of an index, from every posting of every document."""

    def search(
        index: Index, terms: np.ndarray, weights: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        terms = np.asarray(terms)
        all_starts, all_terms, all_impacts = [np.zeros(1, np.int64)], [], []
        for shard in index._shards:
            starts, shard_terms, impacts = shard.postings.all_documents()
            if shard.deleted is not None:
                impacts = np.where(np.repeat(shard.deleted, np.diff(starts)), 0, impacts)
            all_starts.append(starts[1:] + all_starts[-1][-1])
            all_terms.append(shard_terms)
            all_impacts.append(impacts)
        starts, impacts = np.concatenate(all_starts), np.concatenate(all_impacts)
        if allowed is not None:
            impacts = np.where(np.repeat(allowed, np.diff(starts)), impacts, 0)
        positions, scores = exhaustive_search(
            starts, np.concatenate(all_terms), impacts, terms, whole_units(weights), k
        )
        _, exponent = np.frexp(sum(abs(float(weight)) for weight in weights))
        step = index._shards[0].postings.step
        return positions, (scores * (np.ldexp(1.0, exponent - 23) * step)).astype(np.float32)

    return search


@pytest.fixture(scope="session")
def collection_class() -> type[Collection]:
    """The class of what `make_collection` makes."""
    return Collection
