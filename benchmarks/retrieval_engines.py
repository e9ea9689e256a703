"""The engines that are compared, each behind the same small interface; built once and kept in a work folder."""

import json
import os
import platform
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np
import scipy.sparse as sparse
from retrieval_workload import DENSE_WIDTH, VOCABULARY_TERMS, Vectors

from lexlip.index import BuildSettings, Index, build_shard, publish
from lexlip.tables import LexiconVector

K = 10
_TRAINING_VECTORS = 200_000  # of an inverted file: 50 for each of its 4,000 lists at a million vectors


def circumstances() -> dict[str, object]:
    """What a result has to say of where, when and how it was measured."""
    return {
        "load_average": os.getloadavg(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
    }


@dataclass
class Engine:
    """One way to search.

    Attributes:
        one: the numbers of the best 10 documents for a query number.
        batch: searches for some query numbers in one call; None when the engine has no such call.
        batch_queries: how many queries a batch has.
        truth: which exact answers it is compared to, "sparse" or "dense".
        bytes_per_doc: size.
        build: how long building took.
    """

    one: Callable[[int], np.ndarray]
    batch: Callable[[np.ndarray], object] | None
    batch_queries: int
    truth: str
    bytes_per_doc: float
    build: "BuildSeconds"


@dataclass(frozen=True)
class BuildSeconds:
    """What building took: seconds that passed, and seconds of all cores together.

    On a machine with other work the second says more.
    """

    wall: float
    cores: float


def timed(build: Callable[[], None]) -> BuildSeconds:
    """Builds and says how long it took."""
    wall, cores = time.perf_counter(), time.process_time()
    build()
    return BuildSeconds(time.perf_counter() - wall, time.process_time() - cores)


def cached(path: Path, build: Callable[[], None]) -> BuildSeconds:
    """Builds unless that was done before; returns the seconds that building took, then or now."""
    note = path.with_name(path.name + ".seconds.json")
    if not note.exists():
        note.write_text(json.dumps(asdict(timed(build))))
    return BuildSeconds(**json.loads(note.read_text()))


def lexlip_engine(vector_file: Path, queries: Vectors, folder: Path, settings: BuildSettings) -> Engine:
    """This project's index."""

    def build() -> None:
        entry = build_shard([vector_file], folder, 0, settings, vocabulary_terms=VOCABULARY_TERMS, progress=True)
        publish(
            folder,
            [entry],
            vocabulary_fingerprint="benchmark",
            model_fingerprint="benchmark",
            settings=settings,
            vocabulary_terms=VOCABULARY_TERMS,
        )

    folder.mkdir(parents=True, exist_ok=True)
    seconds = cached(folder / "index", build)
    index = Index.open(folder)
    asked = [queries.one(number) for number in range(len(queries))]
    vectors = [LexiconVector(*query) for query in asked]
    return Engine(
        one=lambda number: index.search(*asked[number], K).positions,
        batch=lambda numbers: index.search_batch([vectors[number] for number in numbers], K),
        batch_queries=len(queries),
        truth="sparse",
        bytes_per_doc=index.bytes / index.documents,
        build=seconds,
    )


def scipy_engine(documents: Vectors, queries: Vectors) -> Engine:
    """A sparse matrix product and a partial sort."""
    matrix = documents.matrix()
    by_term = matrix[:0].T.tocsr()

    def build() -> None:
        nonlocal by_term
        by_term = matrix.T.tocsr()

    seconds = timed(build)
    asked = queries.matrix()

    def one(number: int) -> np.ndarray:
        row = asked[number] @ by_term
        if row.nnz <= K:
            return row.indices
        return row.indices[np.argpartition(-row.data, K)[:K]]

    size = by_term.data.nbytes + by_term.indices.nbytes + by_term.indptr.nbytes
    return Engine(one, None, 0, "sparse", size / len(documents), seconds)


def exact_sparse(documents: Vectors, queries: Vectors) -> np.ndarray:
    """[queries, 10] the best documents by float weights, -1 where fewer share a term."""
    by_term: sparse.csr_matrix = documents.matrix().T.tocsr()
    asked = queries.matrix()
    best = np.full((len(queries), K), -1, np.int64)
    for number in range(len(queries)):
        row = asked[number] @ by_term
        order = np.lexsort((row.indices, -row.data))[:K] if row.nnz < 1000 else _top(row)
        best[number, : order.size] = row.indices[order]
    return best


def _top(row: sparse.csr_matrix) -> np.ndarray:
    """The best entries of a row; all that tie with the last are looked at, because the lower number comes first."""
    last = np.partition(row.data, -K)[-K]
    some = np.flatnonzero(row.data >= last)
    return some[np.lexsort((row.indices[some], -row.data[some]))][:K]


class DenseEngines:
    """FAISS indexes over the same dense vectors."""

    def __init__(self, vectors: np.ndarray, queries: np.ndarray, folder: Path) -> None:
        """Keeps the vectors of documents [N, 512] and queries [Q, 512]."""
        self._vectors, self._queries, self._folder = vectors, queries, folder
        faiss.omp_set_num_threads(1)
        faiss.cvar.distance_compute_blas_threshold = 20  # a batch of this many queries becomes a matrix product

    def _engine(self, index: faiss.Index, batch_queries: int, bytes_per_doc: float, build: BuildSeconds) -> Engine:
        asked = self._queries
        return Engine(
            one=lambda number: index.search(asked[number : number + 1], K)[1][0],
            batch=lambda numbers: index.search(asked[numbers], K),
            batch_queries=batch_queries,
            truth="dense",
            bytes_per_doc=bytes_per_doc,
            build=build,
        )

    def flat(self) -> Engine:
        """Every vector, 32-bit floats."""
        index = faiss.IndexFlatIP(DENSE_WIDTH)
        seconds = timed(lambda: index.add(self._vectors))
        return self._engine(index, 100, 4 * DENSE_WIDTH, seconds)

    def half(self) -> Engine:
        """Every vector, 16-bit floats."""
        index = faiss.IndexScalarQuantizer(DENSE_WIDTH, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.train(self._vectors[:1])
        seconds = timed(lambda: index.add(self._vectors))
        return self._engine(index, 20, 2 * DENSE_WIDTH, seconds)

    def built(self, name: str, factory: str, search: dict[str, int]) -> Engine:
        """An index that takes long to build, by its FAISS factory string; its search parameters are set on the
        index.
        """
        path = self._folder / f"{name}.faiss"

        def build() -> None:
            faiss.omp_set_num_threads(2)
            index = faiss.index_factory(DENSE_WIDTH, factory, faiss.METRIC_INNER_PRODUCT)
            index.train(self._vectors[:: max(1, len(self._vectors) // _TRAINING_VECTORS)])
            index.add(self._vectors)
            faiss.write_index(index, str(path))
            faiss.omp_set_num_threads(1)

        seconds = cached(path, build)
        index = faiss.read_index(str(path))
        for parameter, value in search.items():
            faiss.ParameterSpace().set_index_parameter(index, parameter, value)
        return self._engine(index, 200, path.stat().st_size / len(self._vectors), seconds)


class SeismicEngines:
    """Seismic (Bruch et al., SIGIR 2024) with its authors' build settings and the fastest query settings that reach
    a recall.
    """

    _CUTS = (2, 3, 4, 6, 8, 12, 20)
    _HEAP_FACTORS = (0.7, 0.8, 0.9, 1.0)

    def __init__(self, documents: Vectors, queries: Vectors, truth: np.ndarray, folder: Path) -> None:
        """Builds or loads the index and tries all query settings on 200 queries."""
        import seismic

        data, path = folder / "documents.seismic.bin", folder / "seismic"

        if not data.exists():
            _write_seismic(documents, data)
        self._build = cached(path, lambda: seismic.SeismicIndexRaw.build(str(data)).save(str(path)))
        self._index = seismic.SeismicIndexRaw.load(str(path))
        self._bytes_per_doc = path.stat().st_size / len(documents)
        self._asked = [(terms.astype(np.int32), weights) for terms, weights in map(queries.one, range(len(queries)))]
        self._tried = []
        sample = min(200, len(queries))
        for cut in self._CUTS:
            for heap_factor in self._HEAP_FACTORS:
                began = time.perf_counter()
                found = [self._search(number, cut, heap_factor) for number in range(sample)]
                seconds = time.perf_counter() - began
                recall = np.mean([np.isin(truth[number], found[number]).mean() for number in range(sample)])
                self._tried.append((seconds, float(recall), cut, heap_factor))

    def _search(self, number: int, cut: int, heap_factor: float) -> np.ndarray:
        terms, weights = self._asked[number]
        return np.array([hit[1] for hit in self._index.search(terms, weights, K, cut, heap_factor, 0, True)], np.int64)

    def at_recall(self, wanted: float) -> tuple[str, Engine]:
        """The fastest settings with at least this recall, or those with the highest."""
        enough = [tried for tried in self._tried if tried[1] >= wanted] or [
            max(self._tried, key=lambda tried: tried[1])
        ]
        _, _, cut, heap_factor = min(enough)
        name = f"Seismic {wanted:.0%} (query_cut {cut}, heap_factor {heap_factor})"
        engine = Engine(
            lambda number: self._search(number, cut, heap_factor), None, 0, "sparse", self._bytes_per_doc, self._build
        )
        return name, engine


def _write_seismic(documents: Vectors, path: Path) -> None:
    """Seismic's inner format: the number of vectors, then for each its length, components (u32) and values (f32)."""
    fresh = path.with_suffix(".tmp")
    with fresh.open("wb") as file:
        file.write(struct.pack("<I", len(documents)))
        for number in range(len(documents)):
            terms, weights = documents.one(number)
            file.write(struct.pack("<I", terms.size) + terms.astype("<u4").tobytes() + weights.astype("<f4").tobytes())
    fresh.replace(path)
