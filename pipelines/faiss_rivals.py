"""FAISS over the dense vectors: exact, compressed and approximate indexes, each swept over its search setting."""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from lexlip.evaluation.timing import TimedSystem
from pipelines.comparison_corpus import Documents
from pipelines.comparison_settings import BATCH, HITS, CompareSettings
from pipelines.faiss_building import (
    LeftOut,
    build_flat,
    build_hnsw,
    build_inverted_file,
    build_product_quantised,
    build_quantised,
    product_parts,
)
from pipelines.rival_systems import Built, RivalSystem, built_once
from pipelines.vector_parts import write_json

# FAISS 1.15 uses BLAS for a flat batch only from 128,000 queries on; from 20 on it is about nine times faster.
BLAS_THRESHOLD = 20
EF_SEARCH = (16, 32, 64, 128, 256, 512)
FLAT_PROBES = (1, 4, 16, 64, 256)
QUANTISED_PROBES = (4, 16, 64, 256)
GROWTH_EF_SEARCH, GROWTH_PROBES = (64,), (16,)
DECODED_ROWS = 16_384


@dataclass(frozen=True)
class FaissFamily:
    """One FAISS index and the settings in which it is searched.

    Attributes:
        name: of the family.
        skip: its name for `--skip`; None when it cannot be left out.
        build: leaves the index in a file, from documents and settings, and returns its bytes.
        sweep: name of the search setting and its values; empty when there is nothing to set.
        facts: what else a reader wants to know about it.
        batches: whether a batch is faster than one query after the other.
    """

    name: str
    skip: str | None
    build: Callable[[Documents, Path], int]
    sweep: tuple[str, tuple[int, ...]]
    facts: dict[str, str | int]
    batches: bool


def faiss_systems(
    documents: Documents, questions_QE: np.ndarray, settings: CompareSettings, *, growing: bool = False
) -> tuple[list[RivalSystem], dict[str, str]]:
    """Builds the indexes that are missing.

    Args:
        documents: what is searched.
        questions_QE: float32, contiguous.
        settings: what is left out, and what HNSW may cost.
        growing: one setting of each index only, one query at a time, and no compressed copies of the flat index.

    Returns:
        The systems, and the indexes that were left out with the reason.
    """
    faiss.cvar.distance_compute_blas_threshold = BLAS_THRESHOLD
    systems: list[RivalSystem] = []
    left_out: dict[str, str] = {}
    for family in _families(documents, settings, growing):
        if family.skip in settings.skip:
            left_out[family.name] = "not asked for (--skip)"
            continue
        file = _file(family, documents)
        try:
            built = built_once(file, functools.partial(_build, family, documents, settings.hnsw_minutes))
        except LeftOut as reason:
            print(f"compare: {family.name} left out: {reason}", flush=True)
            left_out[family.name] = str(reason)
            continue
        systems += _systems(family, documents, built, questions_QE, batches=family.batches and not growing)
    return systems, left_out


def _file(family: FaissFamily, documents: Documents) -> Path:
    """Another file for other build settings, so that none is taken for another."""
    return documents.folder / f"{'-'.join([family.name, *map(str, family.facts.values())])}.faiss"


def _build(family: FaissFamily, documents: Documents, minutes: float) -> int:
    """Builds the index, unless an earlier run with as many minutes found that it cannot be built."""
    file = _file(family, documents)
    note = file.with_name(f"{file.name}.left-out.json")
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        if minutes <= found["minutes"]:
            raise LeftOut(found["reason"])
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    try:
        return family.build(documents, file)
    except LeftOut as reason:
        write_json(note, {"minutes": minutes, "reason": str(reason)})
        raise


def _families(documents: Documents, settings: CompareSettings, growing: bool) -> list[FaissFamily]:
    ef_search = GROWTH_EF_SEARCH if growing else EF_SEARCH
    probes = GROWTH_PROBES if growing else FLAT_PROBES
    hnsw = functools.partial(build_hnsw, construction=settings.hnsw_construction, minutes=settings.hnsw_minutes)
    facts: dict[str, str | int] = {"links": 32, "ef_construction": settings.hnsw_construction}
    half = functools.partial(build_quantised, kind=faiss.ScalarQuantizer.QT_fp16)
    byte = functools.partial(build_quantised, kind=faiss.ScalarQuantizer.QT_8bit)
    parts = product_parts(documents.dense.shape[1])
    nothing: tuple[str, tuple[int, ...]] = ("", ())
    families = [
        FaissFamily("faiss-flat", None, build_flat, nothing, {}, True),
        FaissFamily("faiss-fp16", "fp16", half, nothing, {}, False),
        FaissFamily("faiss-sq8", "sq8", byte, nothing, {}, False),
        FaissFamily("faiss-hnsw", "hnsw", hnsw, ("ef_search", ef_search), facts, True),
        FaissFamily("faiss-ivfflat", "ivfflat", build_inverted_file, ("nprobe", probes), {}, True),
        FaissFamily(
            "faiss-ivfpq", "ivfpq", build_product_quantised, ("nprobe", QUANTISED_PROBES), {"parts": parts}, True
        ),
    ]
    left_while_growing = ("faiss-fp16", "faiss-sq8", "faiss-ivfpq")
    return [family for family in families if not (growing and family.name in left_while_growing)]


def _systems(
    family: FaissFamily, documents: Documents, built: Built, questions_QE: np.ndarray, *, batches: bool
) -> list[RivalSystem]:
    index = functools.cache(functools.partial(_open, family, documents, built.path))
    parameter, values = family.sweep
    settings: list[dict[str, str | int]] = [{parameter: value} for value in values] or [{}]
    return [
        _system(family, documents, built, index, {**setting, **family.facts}, questions_QE, batch)
        for setting in settings
        for batch in ((1, BATCH) if batches else (1,))
    ]


def _open(family: FaissFamily, documents: Documents, path: Path) -> faiss.Index:
    if family.name != "faiss-flat":
        return faiss.read_index(str(path))
    flat = faiss.IndexFlatIP(documents.dense.shape[1])
    flat.add(np.asarray(documents.dense))
    return flat


def _system(
    family: FaissFamily,
    documents: Documents,
    built: Built,
    index: Callable[[], faiss.Index],
    setting: dict[str, str | int],
    questions_QE: np.ndarray,
    batch: int,
) -> RivalSystem:
    parameters = _search_parameters(family, setting)

    def search(first: int, last: int) -> None:
        index().search(questions_QE[first:last], HITS, params=parameters)

    def hits() -> np.ndarray:
        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        if family.name in ("faiss-fp16", "faiss-sq8"):
            return decoded_hits(index(), questions_QE)
        return index().search(questions_QE, HITS, params=parameters)[1]

    return RivalSystem(
        name=family.name,
        setting=setting if batch == 1 else {**setting, "batch": batch},
        documents=len(documents),
        bytes_per_document=built.bytes / len(documents),
        build_seconds=built.seconds,
        timed=TimedSystem(search, batch),
        hits=hits,
    )


def _search_parameters(family: FaissFamily, setting: dict[str, str | int]) -> faiss.SearchParameters | None:
    # Read from the module by name: the wrapper that type checkers see lacks some of them and their arguments.
    kinds = {"faiss-hnsw": "SearchParametersHNSW", "faiss-ivfflat": "SearchParametersIVF"}
    if not family.sweep[0]:
        return None
    value = int(setting[family.sweep[0]])
    name = {"ef_search": "efSearch", "nprobe": "nprobe"}[family.sweep[0]]
    return getattr(faiss, kinds.get(family.name, "IVFPQSearchParameters"))(**{name: value})


def decoded_hits(index: faiss.Index, questions_QE: np.ndarray) -> np.ndarray:
    """[Q, 10] answers of an index that scans all its codes, for recall only.

    It decodes a block of codes at a time and multiplies through BLAS: the same scores as its own search up to rounding
    in float32, many times sooner for thousands of queries.
    """
    best = np.full((len(questions_QE), HITS), -np.inf, np.float32)
    places = np.full((len(questions_QE), HITS), -1, np.int64)
    for first in range(0, index.ntotal, DECODED_ROWS):
        block_BE = index.reconstruct_n(first, min(DECODED_ROWS, index.ntotal - first))
        count = min(HITS, len(block_BE))
        scores, found = faiss.knn(questions_QE, block_BE, count, metric=faiss.METRIC_INNER_PRODUCT)
        all_scores, all_places = np.hstack([best, scores]), np.hstack([places, found + first])
        order = np.argsort(-all_scores, axis=1, kind="stable")[:, :HITS]
        best, places = np.take_along_axis(all_scores, order, 1), np.take_along_axis(all_places, order, 1)
    return places


def one_thread() -> None:
    """From now on FAISS searches on one thread, batches too, as LexLIP does."""
    faiss.omp_set_num_threads(1)
