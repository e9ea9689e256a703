"""LexLIP's index in every setting of the grid: terms kept of documents and of queries, and bits of a weight."""

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.evaluation.timing import TimedSystem
from lexlip.index import BuildSettings, Index, build_shard, publish
from lexlip.index.query import LARGEST_QUERY
from lexlip.index.settings import SMALLEST_IMPACT_BITS
from lexlip.report.results import LEXLIP
from lexlip.tables import LEXICON_VECTOR_SCHEMA, LexiconVector
from pipelines.comparison_corpus import Documents, Questions
from pipelines.comparison_settings import BATCH, HITS, Terms
from pipelines.rival_systems import Built, RivalSystem, built_once, is_built
from pipelines.vector_parts import EncodingRecord

ROWS_AT_ONCE = 50_000
FEW = 64


def lexlip_systems(
    documents: Documents,
    questions: Questions,
    grid: Sequence[tuple[Terms, int]],
    cuts: Sequence[Terms],
    record: EncodingRecord,
) -> list[RivalSystem]:
    """Builds the indexes that are missing; each answers every cut of the queries, one at a time and in batches.

    Document terms that keep everything anyway are left out when "all" is in the grid too.
    """
    longest = documents.lexicon.longest
    several = any(terms == "all" for terms, _ in grid)
    kept = [entry for entry in grid if not (several and entry[0] != "all" and entry[0] >= longest)]
    built = _build(documents, kept, record)
    # Indexes are opened when they are first asked, each once for all cuts.
    indexes = {entry: functools.cache(functools.partial(Index.open, found.path)) for entry, found in built.items()}
    cut_questions = {cut: questions.cut(LARGEST_QUERY if cut == "all" else cut) for cut in cuts}
    return [
        _system(
            {"document_terms": terms, "query_terms": cut, "impact_bits": bits},
            len(documents),
            built[terms, bits],
            indexes[terms, bits],
            cut_questions[cut],
            batch,
        )
        for terms, bits in kept
        for cut in cuts
        for batch in (1, BATCH)
    ]


def open_index(documents: Documents, terms: Terms, bits: int) -> Index:
    """An index that `lexlip_systems` built."""
    return Index.open(_index_folder(documents, terms, bits))


def _index_folder(documents: Documents, terms: Terms, bits: int) -> Path:
    return documents.folder / f"lexlip-{terms}-{bits}bit"


def _build(
    documents: Documents, grid: Sequence[tuple[Terms, int]], record: EncodingRecord
) -> dict[tuple[Terms, int], Built]:
    documents.folder.mkdir(parents=True, exist_ok=True)
    if not all(is_built(_index_folder(documents, terms, bits)) for terms, bits in grid):
        _compile(documents, record)
    built = {}
    for wanted in dict.fromkeys(terms for terms, _ in grid):
        own = [entry for entry in grid if entry[0] == wanted]
        file = documents.folder / f"cut-{wanted}.parquet.tmp-{os.getpid()}"
        if not all(is_built(_index_folder(documents, *entry)) for entry in own):
            _write_vectors(documents, None if wanted == "all" else wanted, file)
        for entry in own:
            build = functools.partial(_build_one, _index_folder(documents, *entry), entry[1], record, file)
            built[entry] = built_once(_index_folder(documents, *entry), build)
        file.unlink(missing_ok=True)
    return built


def _compile(documents: Documents, record: EncodingRecord) -> None:
    """Builds a few documents once, so that compiling the kernels counts as no index's build time."""
    with tempfile.TemporaryDirectory(prefix="lexlip-compile-") as folder:
        file = Path(folder) / "vectors.parquet"
        _write_vectors(documents.first(min(FEW, len(documents))), None, file)
        _build_one(Path(folder) / "index", SMALLEST_IMPACT_BITS, record, file)


def _build_one(folder: Path, bits: int, record: EncodingRecord, file: Path) -> int:
    settings = BuildSettings(impact_bits=bits)
    entry = build_shard([file], folder, 0, settings, vocabulary_terms=record.vocabulary_terms)
    publish(
        folder,
        [entry],
        vocabulary_fingerprint=record.vocabulary_fingerprint,
        model_fingerprint=record.model_fingerprint,
        settings=settings,
        vocabulary_terms=record.vocabulary_terms,
    )
    return Index.open(folder).bytes


def _write_vectors(documents: Documents, top_terms: int | None, file: Path) -> None:
    """Writes LexiconVectors, cut, whose ids are their numbers: position in the index and in the corpus agree."""
    rows = documents.lexicon
    with pq.ParquetWriter(file, LEXICON_VECTOR_SCHEMA) as writer:
        for first in range(0, len(rows), ROWS_AT_ONCE):
            part = rows.between(first, min(first + ROWS_AT_ONCE, len(rows))).cut(top_terms, documents.other_side)
            offsets = pa.array(part.starts.astype(np.int32))
            columns = [
                pa.array([str(first + number) for number in range(len(part))]),
                pa.ListArray.from_arrays(offsets, pa.array(part.terms)),
                pa.ListArray.from_arrays(offsets, pa.array(part.weights)),
            ]
            writer.write_table(pa.table(columns, schema=LEXICON_VECTOR_SCHEMA))


def _system(
    setting: dict[str, str | int],
    documents: int,
    built: Built,
    index: Callable[[], Index],
    questions: list[LexiconVector],
    batch: int,
) -> RivalSystem:
    def one(first: int, last: int) -> None:
        for question in questions[first:last]:
            if len(question):
                index().search(question.terms, question.weights, HITS)

    def many(first: int, last: int) -> None:
        index().search_batch([question for question in questions[first:last] if len(question)], HITS)

    return RivalSystem(
        name=LEXLIP,
        setting=setting if batch == 1 else {**setting, "batch": batch},
        documents=documents,
        bytes_per_document=built.bytes / documents,
        build_seconds=built.seconds,
        timed=TimedSystem(one if batch == 1 else many, batch),
        hits=lambda: _hits(index(), questions),
    )


def _hits(index: Index, questions: Sequence[LexiconVector]) -> np.ndarray:
    found = np.full((len(questions), HITS), -1, np.int64)
    asked = [number for number, question in enumerate(questions) if len(question)]
    threads = len(os.sched_getaffinity(0))
    answers = index.search_batch([questions[number] for number in asked], HITS, threads=threads)
    for number, hits in zip(asked, answers, strict=True):
        found[number, : len(hits)] = hits.positions
    return found
