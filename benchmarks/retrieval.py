"""Retrieval engines side by side: latency, throughput, recall, size and build time, in one interleaved run on one
thread.

    python benchmarks/retrieval.py --documents 100000 --setting full --json benchmarks/results/retrieval-100k-full.json
    python benchmarks/retrieval.py --vectors out/demo/vectors/part-0.parquet --setting 16-4

Each round gives every engine the same time, however many queries that is, so that whatever else the machine does falls
on all of them alike; ratios are medians over rounds.
Latency is that of one query through the Python interface. Recall@10 is against float brute force over the same vectors.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "2")

import numpy as np
import tyro
from numba import njit
from retrieval_engines import (
    DenseEngines,
    Engine,
    SeismicEngines,
    circumstances,
    exact_sparse,
    lexlip_engine,
    scipy_engine,
)
from retrieval_workload import DENSE_WIDTH, SETTINGS, Vectors, dense, read_vectors, synthetic, write_vectors

from lexlip.index import BuildSettings

_ROUND_SECONDS = 2.0  # what one engine may take of a round
_STREAM_BYTES = 1 << 30


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Attributes:
        documents: how many synthetic documents; with `vectors`, at most this many of the file, 0 for all.
        setting: terms kept: all, or the heaviest 16 of a document and 4 or 8 of a query.
        vectors: LexiconVector Parquet file, or folder of parts, to index instead of synthetic documents.
        query_vectors: the same for the queries; without it, documents of `vectors` ask, at most 20 terms each.
        queries: how many queries.
        engines: which peers to run beside this project's index.
        build: build settings of this project's index.
        rounds: rounds of measuring.
        clock: "wall" is what a user waits; "cpu" counts only the time the searching thread ran, for a machine that has
            other work to do.
        work: where built indexes are kept for the next run.
        json: where to write the result.
    """

    documents: int = 100_000
    setting: Literal["full", "16-4", "16-8"] = "full"
    vectors: Path | None = None
    query_vectors: Path | None = None
    queries: int = 1000
    engines: tuple[Literal["flat", "half", "hnsw", "ivf", "ivfpq", "seismic", "scipy"], ...] = (
        "flat",
        "half",
        "hnsw",
        "ivf",
        "ivfpq",
        "seismic",
        "scipy",
    )
    build: BuildSettings = field(default_factory=BuildSettings)
    rounds: int = 5
    clock: Literal["wall", "cpu"] = "wall"
    work: Path = Path("out/benchmark")
    json: Path | None = None


@njit(cache=True, fastmath=True)
def _stream(values):
    """Reads all values once."""
    total = np.float32(0)
    for place in range(values.size):
        total += values[place]
    return total


def stream_bandwidth(now: Callable[[], float]) -> float:
    """Bytes a second that one core reads from memory in order, by the clock `now`; the best of six."""
    values = np.ones(_STREAM_BYTES // 4, np.float32)
    best = np.inf
    for _ in range(6):
        began = now()
        _stream(values)
        best = min(best, now() - began)
    return _STREAM_BYTES / best


def make_vectors(benchmark: Benchmark) -> tuple[Vectors, Vectors]:
    """Documents and queries, cut to the setting."""
    if benchmark.vectors is None:
        documents, queries = synthetic(benchmark.documents, benchmark.queries)
    else:
        documents = read_vectors(benchmark.vectors)
        if benchmark.query_vectors is not None:
            queries = read_vectors(benchmark.query_vectors)
            queries = queries.first(min(benchmark.queries, len(queries)))
        else:
            queries = documents.first(min(benchmark.queries, len(documents))).cut(20)
        if 0 < benchmark.documents < len(documents):
            documents = documents.first(benchmark.documents)
    document_terms, query_terms = SETTINGS[benchmark.setting]
    return documents.cut(document_terms), queries.cut(query_terms)


def make_engines(
    benchmark: Benchmark, documents: Vectors, queries: Vectors, folder: Path
) -> tuple[dict[str, Engine], dict[str, np.ndarray]]:
    """The engines by name, ours first, and the exact answers by kind."""
    vector_file = folder / "documents.parquet"
    if not vector_file.exists():
        write_vectors(documents, vector_file)
    settings = benchmark.build
    ours = folder / f"lexlip-{settings.impact_bits}bit-rows{settings.row_share}-order{settings.ordering_terms}"
    engines = {"lexlip": lexlip_engine(vector_file, queries, ours, settings)}
    truth_file = folder / f"truth-{len(queries)}.npy"
    if not truth_file.exists():
        np.save(truth_file, exact_sparse(documents, queries))
    truth = {"sparse": np.load(truth_file)}
    wanted = set(benchmark.engines)
    if wanted & {"flat", "half", "hnsw", "ivf", "ivfpq"}:
        faiss_engines = DenseEngines(dense(documents), dense(queries), folder)
        lists = int(4 * np.sqrt(len(documents)))
        makers = {
            "flat": ("FAISS flat", faiss_engines.flat),
            "half": ("FAISS flat fp16", faiss_engines.half),
            "hnsw": ("FAISS HNSW32 ef256", lambda: faiss_engines.built("hnsw", "HNSW32", {"efSearch": 256})),
            "ivf": ("FAISS IVFFlat nprobe 16", lambda: faiss_engines.built("ivf", f"IVF{lists},Flat", {"nprobe": 16})),
            "ivfpq": (
                "FAISS IVFPQ64 nprobe 64",
                lambda: faiss_engines.built("ivfpq", f"IVF{lists},PQ64", {"nprobe": 64}),
            ),
        }
        for key, (name, maker) in makers.items():
            if key in wanted:
                print(f"preparing {name}", flush=True)
                engines[name] = maker()
        if "flat" in wanted:
            flat = engines["FAISS flat"]
            truth["dense"] = np.stack([flat.one(number) for number in range(min(100, len(queries)))])
    if "seismic" in wanted:
        print("preparing Seismic", flush=True)
        seismic_engines = SeismicEngines(documents, queries, truth["sparse"], folder)
        engines.update(seismic_engines.at_recall(recall) for recall in (0.95, 0.99))
    if "scipy" in wanted:
        engines["scipy sparse product"] = scipy_engine(documents, queries)
    return engines, truth


def measure(
    engines: dict[str, Engine], truth: dict[str, np.ndarray], rounds: int, now: Callable[[], float]
) -> tuple[dict[str, dict[str, float | None]], dict[str, list[float]]]:
    """Interleaved rounds, timed by the clock `now`.

    Returns:
        the figures by engine, and the median latency of each round in microseconds.
    """
    random = np.random.default_rng(0)
    latencies: dict[str, list[float]] = {name: [] for name in engines}
    medians: dict[str, list[float]] = {name: [] for name in engines}
    recalls: dict[str, list[float]] = {name: [] for name in engines}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.one(0)
    for _ in range(rounds):
        for name, engine in engines.items():
            answers = truth.get(engine.truth)
            queries = len(truth["sparse"]) if answers is None else len(answers)
            here = []
            until = time.perf_counter() + _ROUND_SECONDS
            while time.perf_counter() < until:
                if len(here) % queries == 0:
                    numbers = random.permutation(queries).tolist()
                number = numbers[len(here) % queries]
                began = now()
                found = engine.one(number)
                ended = now()
                here.append((ended - began) * 1e6)
                if answers is not None and len(recalls[name]) < queries:
                    recalls[name].append(np.isin(answers[number], found).mean())
            latencies[name] += here
            medians[name].append(float(np.median(here)))
            if engine.batch is not None:
                batch = random.permutation(len(truth["sparse"]))[: engine.batch_queries]
                began = now()
                engine.batch(batch)
                rates[name].append(batch.size / (now() - began))
    figures: dict[str, dict[str, float | None]] = {}
    for name, engine in engines.items():
        figures[name] = {
            "p50_us": float(np.percentile(latencies[name], 50)),
            "p99_us": float(np.percentile(latencies[name], 99)),
            "qps": float(np.median(rates[name])) if rates[name] else 1e6 / float(np.mean(latencies[name])),
            "recall10": float(np.mean(recalls[name])) if recalls[name] else None,
            "bytes_per_doc": engine.bytes_per_doc,
            "build_s": engine.build.wall,
            "build_core_s": engine.build.cores,
        }
    return figures, medians


def ratios(medians: dict[str, list[float]], floor_us: float) -> dict[str, float]:
    """How many times slower a peer's median query is than ours, median over rounds."""

    def against(prefix: str) -> float | None:
        name = next((name for name in medians if name.startswith(prefix)), None)
        return None if name is None else float(np.median(np.array(medians[name]) / np.array(medians["lexlip"])))

    found = {
        "faiss_flat": next((against(name) for name in medians if name == "FAISS flat"), None),
        "faiss_flat_bandwidth": floor_us / float(np.median(medians["lexlip"])),
        "seismic95": against("Seismic 95%"),
        "seismic99": against("Seismic 99%"),
    }
    return {name: value for name, value in found.items() if value is not None}


def main(benchmark: Benchmark) -> None:
    """Makes or loads everything, measures, prints a table and writes the result."""
    source = "synthetic" if benchmark.vectors is None else benchmark.vectors.stem
    folder = benchmark.work / f"{source}-{benchmark.documents}-{benchmark.setting}"
    folder.mkdir(parents=True, exist_ok=True)
    documents, queries = make_vectors(benchmark)
    print(
        f"{len(documents)} documents of {documents.terms.size / len(documents):.1f} terms, "
        f"{len(queries)} queries of {queries.terms.size / len(queries):.1f}",
        flush=True,
    )
    engines, truth = make_engines(benchmark, documents, queries, folder)
    now = time.perf_counter if benchmark.clock == "wall" else time.thread_time
    bandwidth = stream_bandwidth(now)
    floor_us = len(documents) * DENSE_WIDTH * 4 / bandwidth * 1e6
    figures, medians = measure(engines, truth, benchmark.rounds, now)
    found = ratios(medians, floor_us)
    print(
        f"{'engine':48s} {'p50 us':>10s} {'p99 us':>10s} {'queries/s':>10s} {'recall@10':>9s} {'bytes/doc':>9s} "
        f"{'build s':>8s} {'core s':>8s}"
    )
    for name, row in figures.items():
        recall = "-" if row["recall10"] is None else f"{row['recall10']:.3f}"
        print(
            f"{name:48s} {row['p50_us']:10.1f} {row['p99_us']:10.1f} {row['qps']:10.0f} {recall:>9s} "
            f"{row['bytes_per_doc']:9.1f} {row['build_s']:8.1f} "
            f"{row['build_core_s']:8.1f}"
        )
    print(f"one core reads {bandwidth / 1e9:.1f} GB/s: a flat scan cannot take less than {floor_us:.0f} us")
    print("times slower than lexlip: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    if benchmark.json is not None:
        benchmark.json.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "engines": figures,
            "ratios": found,
            "documents": len(documents),
            "terms_per_document": documents.terms.size / len(documents),
            "terms_per_query": queries.terms.size / len(queries),
            "setting": benchmark.setting,
            "vectors": source,
            "clock": benchmark.clock,
            "build": asdict(benchmark.build),
            "stream_bytes_per_s": bandwidth,
            "flat_scan_floor_us": floor_us,
        } | circumstances()
        benchmark.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
