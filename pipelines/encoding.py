"""From a corpus to vectors on Ray Data: CPU tasks decode, model actors encode, parts appear one by one.

Nothing of the corpus is collected in the driver and only a few units are in flight, so memory does not grow with the
corpus. The same call again encodes only the units whose part is missing.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import ray
import ray.data

from lexlip.data.images import ImageLimits
from lexlip.data.sources import open_pairs
from lexlip.errors import DataError
from lexlip.model.saving import Encoder, load_encoder
from lexlip.storage import Location
from pipelines.corpus_sides import ImageSide, TextSide
from pipelines.unit_encoding import UnitEncoder
from pipelines.unit_preparing import PartWork, UnitPreparer
from pipelines.vector_parts import (
    SUMMARY_FILE,
    DroppedRow,
    EncodingRecord,
    PartReport,
    claim,
    finished_files,
    part_files,
    read_reports,
    write_json,
)

IMAGE_TERMS = 32  # keeps 96 % of the recall of all; benchmarks/results/flickr8k-recipe.md has more
PREPARE_CPUS = 0.5  # of a task that reads and decodes; it must fit beside the actors, or Ray Data waits forever
UNITS_IN_FLIGHT = 2  # per actor: one being encoded, one waiting
NAMED_ROWS = 100  # dropped rows named in the summary; the metadata of the parts names all
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class EncodeSettings:
    """What becomes a document, and what is kept of it.

    Attributes:
        side: whether the pictures or the captions become documents.
        top_terms: terms kept per vector, those that together say most; None keeps all. LexLIP only.
        thumbnail_pixels: longest side of the JPEG stored with every picture; 0 stores none.
        part_rows: most rows of the corpus in one part, the piece of work that is lost when a job is interrupted.
        mirrored: read every picture mirrored too, which takes twice as long; None does as the model says.
    """

    side: Literal["image", "text"] = "image"
    top_terms: int | None = IMAGE_TERMS
    thumbnail_pixels: int = 192
    part_rows: int = 128
    mirrored: bool | None = None


@dataclass(frozen=True)
class ActorSettings:
    """The processes that hold the model.

    Attributes:
        actors: how many; None takes one per GPU, or one on a cluster without.
        actor_cpus: CPUs reserved per actor.
        threads: threads of an actor's tensor operations; None shares the cluster's CPUs out among the actors.
    """

    actors: int | None = None
    actor_cpus: float = 1.0
    threads: int | None = None


@dataclass(frozen=True)
class EncodeTarget:
    """A corpus to be encoded into a folder.

    Attributes:
        data: location of the corpus, as for `open_pairs`; captions are needed for the text side only.
        vectors: folder of the parts, local or behind a URL.
        settings: how.
    """

    data: str
    vectors: Location
    settings: EncodeSettings


@dataclass(frozen=True)
class EncodeSummary:
    """What an encoding job made; kept as `summary.json` beside the vectors.

    Attributes:
        vectors: the folder.
        documents: vectors in it.
        parts: their files, in the order of the corpus.
        parts_already_there: how many of them an earlier run had finished.
        dropped_rows: rows without a vector.
        dropped: the first of them, by name.
        maximum_weight: the largest weight of all lexicon vectors; 0 for dense vectors.
        seconds: time of this run.
    """

    vectors: str
    documents: int
    parts: list[str]
    parts_already_there: int
    dropped_rows: int
    dropped: list[DroppedRow]
    maximum_weight: float
    seconds: float

    def print(self) -> None:
        """Says what was made and which rows were dropped."""
        there = f" ({self.parts_already_there} were already there)" if self.parts_already_there else ""
        made = f"{self.documents:,} vectors in {len(self.parts)} part(s){there}"
        print(f"encode: {made} -> {self.vectors}, {self.seconds:.1f} s", flush=True)
        if self.dropped_rows:
            print(f"encode: {self.dropped_rows:,} row(s) dropped:")
            for row in self.dropped:
                print(f"  {row.id}: {row.reason}")
            if self.dropped_rows > len(self.dropped):
                print(f"  ... and {self.dropped_rows - len(self.dropped):,} more, named in the metadata of the parts")


def encode_corpus(
    model: Path, data: str, vectors: Location, settings: EncodeSettings, actors: ActorSettings | None = None
) -> EncodeSummary:
    """Encodes one corpus: `encode_targets` with a single target."""
    return encode_targets(model, [EncodeTarget(data, vectors, settings)], actors)[0]


def encode_targets(
    model: Path, targets: Sequence[EncodeTarget], actors: ActorSettings | None = None
) -> list[EncodeSummary]:
    """Encodes corpora into folders of vector parts, or finishes an interrupted job; the model is loaded once per actor.

    Args:
        model: folder of a LexLIP or of the dense baseline.
        targets: what and where.
        actors: the processes that hold the model.

    Raises:
        ModelError: the model folder is not usable.
        DataError: a corpus is not, or a folder holds vectors of another model, other settings or other data.
    """
    began = time.perf_counter()
    loaded = load_encoder(model)
    plans = [_plan(loaded, target) for target in targets]
    finished = set().union(*(finished_files(target.vectors.absolute()) for target in targets))
    missing = [work for plan in plans for work in plan if work.file not in finished]
    there = [sum(work.file in finished for work in plan) for plan in plans]
    if any(there):
        print(f"encode: {sum(there)} of {sum(map(len, plans))} parts are already there", flush=True)
    if missing:
        _encode_missing(model, tuple(missing), actors or ActorSettings())
    seconds = round(time.perf_counter() - began, 2)
    return [_summarise(*found, seconds) for found in zip(targets, plans, there, strict=True)]


def _plan(model: Encoder, target: EncodeTarget) -> list[PartWork]:
    settings, pictures = target.settings, target.settings.side == "image"
    source = open_pairs(target.data, captions_required=not pictures, unit_rows=settings.part_rows)
    preprocessing = model.preprocessing.read_mirrored(settings.mirrored)
    record = EncodingRecord(
        kind=model.kind,
        model_fingerprint=model.fingerprint,
        vocabulary_fingerprint=model.vocabulary.fingerprint,
        vocabulary_terms=len(model.vocabulary),
        side=settings.side,
        top_terms=settings.top_terms if model.kind == "lexlip" else None,
        thumbnail_pixels=settings.thumbnail_pixels if pictures else 0,
        part_rows=settings.part_rows,
        mirrored=pictures and preprocessing.mirrored,
    )
    claim(target.vectors, record)
    side = ImageSide(preprocessing, ImageLimits(), settings.thumbnail_pixels) if pictures else TextSide()
    files = part_files(target.vectors.absolute(), source.units)
    return [PartWork(unit, side, record.top_terms, file) for unit, file in zip(source.units, files, strict=True)]


def _encode_missing(model: Path, works: tuple[PartWork, ...], settings: ActorSettings) -> None:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    actors = min(settings.actors or max(gpus, 1), len(works))
    cpus = resources.get("CPU", 0)
    if actors * settings.actor_cpus + PREPARE_CPUS > cpus:  # no error: an autoscaler may be about to add nodes
        print(
            f"encode: {actors} actor(s) of {settings.actor_cpus} CPUs leave none of the cluster's {cpus:g} to read and "
            "decode with; this waits until the cluster grows (or give a smaller --actors or --actor-cpus)",
            flush=True,
        )
    threads = settings.threads or max(1, int(cpus) // actors)
    # One block per unit: a task reads one unit, and backpressure counts in units.
    numbers = ray.data.from_items([{"number": number} for number in range(len(works))], override_num_blocks=len(works))
    prepared = numbers.map_batches(UnitPreparer(works), batch_size=1, batch_format="pyarrow", num_cpus=PREPARE_CPUS)
    encoded = prepared.map_batches(
        UnitEncoder,
        fn_constructor_args=(str(model.absolute()), works, "cuda" if gpus else "cpu", threads),
        batch_size=1,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=UNITS_IN_FLIGHT),
        num_cpus=settings.actor_cpus,
        num_gpus=1 if gpus else 0,
    )
    _report_progress(encoded.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0), len(works))


def _summarise(target: EncodeTarget, plan: list[PartWork], there: int, seconds: float) -> EncodeSummary:
    reports = read_reports([work.file for work in plan])
    dropped = [row for report in reports for row in report.dropped]
    summary = EncodeSummary(
        vectors=str(target.vectors),
        documents=sum(report.documents for report in reports),
        parts=[work.file.name for work in plan],
        parts_already_there=there,
        dropped_rows=len(dropped),
        dropped=dropped[:NAMED_ROWS],
        maximum_weight=max(report.maximum_weight for report in reports),
        seconds=seconds,
    )
    write_json(target.vectors / SUMMARY_FILE, asdict(summary))
    summary.print()
    if not summary.documents:
        raise DataError(f"{target.data}: not one row could be encoded; {target.vectors / SUMMARY_FILE} says why")
    return summary


def _report_progress(results: Iterable[pa.Table], parts: int) -> None:
    began = last = time.perf_counter()
    documents = dropped = done = 0
    for batch in results:
        for text in batch["report"].to_pylist():
            report = PartReport.from_json(text)
            documents, dropped, done = documents + report.documents, dropped + len(report.dropped), done + 1
        now = time.perf_counter()
        if now - last >= PROGRESS_SECONDS or done == parts:
            last = now
            rate = documents / (now - began)
            print(
                f"encode: {done} of {parts} missing parts, {documents:,} vectors, {rate:.0f}/s, {dropped} dropped",
                flush=True,
            )
