"""From a corpus to vectors on Ray Data: CPU tasks decode, model actors encode, parts appear one by one.

Nothing of the corpus is collected in the driver and only a few units are in flight, so memory does not grow with the
corpus. The same call again encodes only the units whose part is missing.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import ray
import ray.data

from lexlip.data.images import ImageLimits
from lexlip.data.sources import PairSource, open_pairs
from lexlip.errors import DataError
from lexlip.model.saving import load_model
from pipelines.corpus_sides import CorpusSide, ImageSide, TextSide
from pipelines.unit_encoding import UnitEncoder, UnitPreparer
from pipelines.vector_parts import (
    SUMMARY_FILE,
    DroppedRow,
    EncodingRecord,
    PartReport,
    claim,
    part_files,
    read_report,
    write_json,
)

IMAGE_TERMS = 32  # keeps nearly all of the recall of a model that was trained through random cuts
PREPARE_CPUS = (
    0.5  # whole CPUs for both stages would leave the actors or the tasks without any, and Ray Data waits forever
)
UNITS_IN_FLIGHT = 2  # per actor: one being encoded, one waiting
NAMED_ROWS = 100  # dropped rows named in the summary; the metadata of the parts names all
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class EncodeSettings:
    """How a corpus is encoded.

    Attributes:
        side: whether the pictures or the captions become documents.
        top_terms: heaviest terms kept per vector, which then gets unit length again; None keeps all. LexLIP only.
        thumbnail_pixels: longest side of the JPEG stored with every picture; 0 stores none.
        part_rows: most rows of the corpus in one part, the piece of work that is lost when a job is interrupted.
        actors: processes that hold the model; None takes one per GPU, or one on a machine without.
        actor_cpus: CPUs reserved per actor.
        threads: threads of an actor's tensor operations; None shares the machine's CPUs out among the actors.
    """

    side: Literal["image", "text"] = "image"
    top_terms: int | None = IMAGE_TERMS
    thumbnail_pixels: int = 192
    part_rows: int = 128
    actors: int | None = None
    actor_cpus: float = 1.0
    threads: int | None = None


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


def encode_corpus(model: Path, data: str, vectors: Path, settings: EncodeSettings) -> EncodeSummary:
    """Encodes a corpus into a folder of vector parts, or finishes an interrupted job.

    Args:
        model: folder of a LexLIP or of the dense baseline.
        data: location of the corpus, as for `open_pairs`; captions are needed for the text side only.
        vectors: folder of the parts.
        settings: how.

    Raises:
        ModelError: the model folder is not usable.
        DataError: the corpus is, or the folder holds vectors of another model, other settings or other data.
    """
    began = time.perf_counter()
    source = open_pairs(data, captions_required=settings.side == "text", unit_rows=settings.part_rows)
    record, side = _describe(model, settings)
    claim(vectors, record)
    parts = [part.absolute() for part in part_files(vectors, source.units)]
    missing = [number for number, part in enumerate(parts) if not part.is_file()]
    if missing:
        _encode_missing(model, source, side, record, parts, missing, settings)
    reports = [read_report(part) for part in parts]
    dropped = [row for report in reports for row in report.dropped]
    summary = EncodeSummary(
        vectors=str(vectors),
        documents=sum(report.documents for report in reports),
        parts=[part.name for part in parts],
        parts_already_there=len(parts) - len(missing),
        dropped_rows=len(dropped),
        dropped=dropped[:NAMED_ROWS],
        maximum_weight=max(report.maximum_weight for report in reports),
        seconds=round(time.perf_counter() - began, 2),
    )
    write_json(vectors / SUMMARY_FILE, asdict(summary))
    summary.print()
    if not summary.documents:
        raise DataError(f"{data}: none of {source.rows} row(s) could be encoded; {vectors / SUMMARY_FILE} says why")
    return summary


def _describe(model: Path, settings: EncodeSettings) -> tuple[EncodingRecord, CorpusSide]:
    loaded = load_model(model)
    dense = loaded.kind == "clip"
    record = EncodingRecord(
        kind=loaded.kind,
        model_fingerprint=loaded.fingerprint,
        vocabulary_fingerprint=loaded.vocabulary.fingerprint,
        vocabulary_terms=len(loaded.vocabulary),
        side=settings.side,
        top_terms=None if dense else settings.top_terms,
        thumbnail_pixels=settings.thumbnail_pixels if settings.side == "image" else 0,
    )
    if settings.side == "text":
        return record, TextSide()
    return record, ImageSide(loaded.preprocessing, ImageLimits(), settings.thumbnail_pixels)


def _encode_missing(
    model: Path,
    source: PairSource,
    side: CorpusSide,
    record: EncodingRecord,
    parts: list[Path],
    missing: list[int],
    settings: EncodeSettings,
) -> None:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    actors = min(settings.actors or max(gpus, 1), len(missing))
    threads = settings.threads or max(1, int(resources.get("CPU", 1)) // actors)
    arguments = (str(model.absolute()), side, record, [str(part) for part in parts], "cuda" if gpus else "cpu", threads)
    # One block per unit: a task reads one unit, and backpressure counts in units.
    numbers = ray.data.from_items([{"number": number} for number in missing], override_num_blocks=len(missing))
    prepared = numbers.map_batches(
        UnitPreparer(side, source.units), batch_size=1, batch_format="pyarrow", num_cpus=PREPARE_CPUS
    )
    encoded = prepared.map_batches(
        UnitEncoder,
        fn_constructor_args=arguments,
        batch_size=1,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=UNITS_IN_FLIGHT),
        num_cpus=settings.actor_cpus,
        num_gpus=1 if gpus else 0,
    )
    done = len(parts) - len(missing)
    if done:
        print(f"encode: {done} of {len(parts)} parts are already there", flush=True)
    _report_progress(encoded.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0), done, len(parts))


def _report_progress(results: Iterable[pa.Table], done: int, parts: int) -> None:
    began = last = time.perf_counter()
    documents = dropped = 0
    for batch in results:
        for text in batch["report"].to_pylist():
            report = PartReport.from_json(text)
            documents, dropped, done = documents + report.documents, dropped + len(report.dropped), done + 1
        now = time.perf_counter()
        if now - last >= PROGRESS_SECONDS or done == parts:
            last = now
            rate = documents / (now - began)
            print(f"encode: {done}/{parts} parts, {documents:,} vectors, {rate:.0f}/s, {dropped} dropped", flush=True)
