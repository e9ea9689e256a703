"""LexLIP's index measured beside FAISS over the dense twin's vectors of the same corpus, in one interleaved run."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lexlip.evaluation.recall import Recall, ranks_in_hits
from lexlip.evaluation.timing import Latency
from lexlip.evaluation.trec_files import judgement_lines, run_lines
from lexlip.report.results import (
    FLAT,
    LEXLIP,
    ComparedCorpus,
    Comparison,
    GrowthPoint,
    LexicalBaseline,
    SystemResult,
    title_of,
)
from pipelines.caption_search import CaptionSearch, caption_search
from pipelines.compared_sides import Rivals
from pipelines.comparison_corpus import ComparisonCorpus, make_corpus
from pipelines.comparison_examples import choose_examples
from pipelines.comparison_settings import ALL_SKIPPABLE, HITS, CompareSettings
from pipelines.corpus_arrays import kept_array
from pipelines.evaluate import evaluate_encoded
from pipelines.faiss_rivals import faiss_systems, one_thread
from pipelines.kept_timing import kept_latencies
from pipelines.lexlip_rivals import lexlip_systems
from pipelines.rival_systems import RivalSystem
from pipelines.vector_parts import write_text


@dataclass(frozen=True)
class Contest:
    """All that is measured.

    Attributes:
        systems: over the whole corpus.
        growing: over its first documents.
        lexical: BM25, or None.
        left_out: system to the reason.
    """

    systems: list[RivalSystem]
    growing: list[RivalSystem]
    lexical: CaptionSearch | None
    left_out: dict[str, str]


def compare(rivals: Rivals, settings: CompareSettings, runs: Path | None = None) -> Comparison:
    """Makes what is not made yet (vectors, corpus, indexes, answers, rounds of timing), then says what was found.

    Args:
        rivals: models and data.
        settings: what is measured.
        runs: folder for TREC files of the main systems' answers.
    """
    corpus = make_corpus(rivals, settings)
    print(
        f"compare: {len(corpus.documents):,} documents, of these {corpus.answers:,} answers, {corpus.real:,} real and "
        f"{corpus.drawn:,} drawn distractors; {len(corpus.questions.ids):,} questions",
        flush=True,
    )
    contest = _prepare(corpus, settings)
    answers = _answers(corpus, contest, settings)
    latencies, machine = _latencies(corpus, contest, settings)
    results = _results(corpus, contest, answers, latencies)
    main = {name: next(system for system in contest.systems if system.name == name) for name in (LEXLIP, FLAT)}
    found = {name: answers[system.answer_key] for name, system in main.items()}
    if runs is not None:
        _write_runs(corpus, found, runs)
    lexlip, clip = corpus.pairs
    return Comparison(
        corpus=_described(corpus, found, rivals, settings),
        quality={"lexlip": evaluate_encoded(lexlip, rivals.lexlip), "clip": evaluate_encoded(clip, rivals.clip)},
        systems=results,
        machine=machine,
        settings={
            "seed": settings.seed,
            "rounds": settings.rounds,
            "seconds of a system in a round": settings.round_seconds,
            "hits asked for": HITS,
            "held out": settings.held_out,
            "pictures read mirrored too": "by both" if lexlip.record.mirrored else "by neither",
        },
        command=shlex.join(["python", *sys.argv]),
        growth=_growth(contest, results, latencies, len(corpus.documents)),
        lexical=_lexical(contest, latencies),
        left_out=contest.left_out,
        examples=choose_examples(corpus, rivals, main[LEXLIP], found, settings),
    )


def _prepare(corpus: ComparisonCorpus, settings: CompareSettings) -> Contest:
    documents, questions = corpus.documents, corpus.questions
    record = corpus.pairs[0].record
    systems = lexlip_systems(documents, questions, settings.lexlip_grid, settings.query_cuts, record)
    dense, left_out = faiss_systems(documents, questions.dense, settings)
    growing: list[RivalSystem] = []
    # What was not built for the whole corpus would leave a line without an end.
    absent = tuple(name for name in ALL_SKIPPABLE if f"faiss-{name}" in left_out)
    for size in settings.growth:
        if size < len(documents):
            part = documents.first(size)
            grid = [entry for entry in settings.lexlip_grid if entry in _growing_grid(settings)]
            growing += lexlip_systems(part, questions, grid, settings.query_cuts[:1], record)
            growing += faiss_systems(part, questions.dense, replace(settings, skip=absent), growing=True)[0]
    lexical = None
    if settings.direction == "image-to-text":
        left_out["bm25"] = "pictures ask, and they have no words"
    elif "bm25" in settings.skip:
        left_out["bm25"] = "not asked for (--skip)"
    else:
        lexical = caption_search(corpus)
        if lexical is None:
            left_out["bm25"] = "no picture has two captions"
    return Contest([*systems, *dense], [system for system in growing if system.timed.batch == 1], lexical, left_out)


def _growing_grid(settings: CompareSettings) -> list:
    """The main LexLIP index, and with as many bits the one that keeps most."""
    main = settings.lexlip_grid[0]
    return [main, *[entry for entry in settings.lexlip_grid if entry == ("all", main[1])]]


def _answers(corpus: ComparisonCorpus, contest: Contest, settings: CompareSettings) -> dict[str, np.ndarray]:
    folder = corpus.documents.folder / f"answers-{len(corpus.questions.ids)}"
    systems = {system.answer_key: system for system in contest.systems}
    found: dict[str, np.ndarray] = {}
    for number, (key, system) in enumerate(systems.items(), start=1):
        file = folder / f"{key}.npy"
        if not file.is_file():
            print(f"compare: {number} of {len(systems)} asked for recall: {key}", flush=True)
        found[key] = kept_array(file, system.hits)
    return found


def _latencies(
    corpus: ComparisonCorpus, contest: Contest, settings: CompareSettings
) -> tuple[dict[str, Latency], dict[str, str | int]]:
    one_thread()
    timed = {_timing_key(system): system.timed for system in [*contest.systems, *contest.growing]}
    if contest.lexical is not None:
        timed["bm25"] = contest.lexical.timed
    queries = min(settings.timed_queries, len(corpus.questions.ids))
    latencies, machine = kept_latencies(corpus.documents.folder, list(timed.items()), queries, settings)
    return dict(zip(timed, latencies, strict=True)), machine


def _timing_key(system: RivalSystem) -> str:
    return f"{system.answer_key}-{system.timed.batch}"


def _results(
    corpus: ComparisonCorpus, contest: Contest, answers: Mapping[str, np.ndarray], latencies: Mapping[str, Latency]
) -> tuple[SystemResult, ...]:
    right = corpus.questions.right
    recalls = {key: Recall.of_ranks(ranks_in_hits(list(hits), right)) for key, hits in answers.items()}
    return tuple(
        SystemResult(
            name=system.name,
            setting=system.setting,
            recall=recalls[system.answer_key],
            latency=latencies[_timing_key(system)],
            bytes_per_document=system.bytes_per_document,
            build_seconds=system.build_seconds,
        )
        for system in contest.systems
    )


def _growth(
    contest: Contest, results: tuple[SystemResult, ...], latencies: Mapping[str, Latency], documents: int
) -> tuple[GrowthPoint, ...]:
    growing = [
        (system.documents, system.name, system.setting, latencies[_timing_key(system)], system.bytes_per_document)
        for system in contest.growing
    ]
    wanted = [setting for _, _, setting, _, _ in growing]
    whole = [
        (documents, result.name, dict(result.setting), result.latency, result.bytes_per_document)
        for result in results
        if result.single and dict(result.setting) in wanted and any(name == result.name for _, name, *_ in growing)
    ]
    return tuple(
        GrowthPoint(size, title_of(name, setting), name, latency, bytes_each)
        for size, name, setting, latency, bytes_each in [*growing, *whole]
    )


def _lexical(contest: Contest, latencies: Mapping[str, Latency]) -> LexicalBaseline | None:
    if contest.lexical is None:
        return None
    search = contest.lexical
    return LexicalBaseline(search.recall, latencies["bm25"], search.documents, search.queries)


def _described(
    corpus: ComparisonCorpus, found: Mapping[str, np.ndarray], rivals: Rivals, settings: CompareSettings
) -> ComparedCorpus:
    questions = corpus.questions
    real = len(corpus.known.ids)
    shares = {}
    for name, hits_QK in found.items():
        wrong = [
            hits[(hits >= 0) & ~np.isin(hits, right)] for hits, right in zip(hits_QK, questions.right, strict=True)
        ]
        all_wrong = np.concatenate([np.empty(0, np.int64), *wrong])
        shares[name] = round(100.0 * float((all_wrong >= real).mean()), 1) if len(all_wrong) else 0.0
    return ComparedCorpus(
        data=rivals.data,
        direction=settings.direction,
        documents=len(corpus.documents),
        answers=corpus.answers,
        real=corpus.real,
        drawn=corpus.drawn,
        sources=corpus.sources,
        queries=len(questions.ids),
        timed_queries=min(settings.timed_queries, len(questions.ids)),
        document_terms=round(corpus.documents.lexicon.mean_terms, 1),
        query_terms=round(float(np.mean([len(vector) for vector in questions.lexicon])), 1),
        drawn_among_wrong=shares,
    )


def _write_runs(corpus: ComparisonCorpus, found: Mapping[str, np.ndarray], folder: Path) -> None:
    """Runs of the main systems and the judgements; scores only say the order, as an index's answer does."""
    documents = [corpus.id_of(position) for position in range(len(corpus.documents))]
    questions = corpus.questions
    write_text(folder / "judgements.qrels", judgement_lines(questions.ids, documents, questions.right))
    for name, hits_QK in found.items():
        hits = [row[row >= 0] for row in hits_QK]
        scores = [np.arange(len(row), 0, -1) for row in hits]
        write_text(folder / f"{name}.run", run_lines(questions.ids, documents, hits, scores, name))
