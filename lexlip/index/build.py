"""From LexiconVector Parquet files to one shard; from shards to a published index."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lexlip.errors import DataError, IndexFormatError
from lexlip.index.caption_field import CaptionField, posting_terms_of
from lexlip.index.caption_postings import CaptionIndexing
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.index.exact_weights import write_exact_weights
from lexlip.index.identifiers import hash_ids, identifier_arrays
from lexlip.index.manifest import MANIFEST_NAME, FileEntry, Manifest, ShardEntry, read_manifest, write_manifest
from lexlip.index.ordering import document_order
from lexlip.index.postings import write_postings
from lexlip.index.pruning import keep_top_terms
from lexlip.index.quantisation import quantise
from lexlip.index.quantisation_cost import recall_of_impacts
from lexlip.index.remote_files import fetch, local_folder, put
from lexlip.index.sections import write_sections
from lexlip.index.settings import BuildSettings
from lexlip.index.shard import Shard
from lexlip.index.stored import StoredWriter
from lexlip.index.vectors import VectorRows, read_vectors, stored_schema
from lexlip.storage import Location, locate

_SMALLEST_WEIGHT = np.float32(1e-30)  # the maximum weight of a shard without postings


def build_shard(
    vector_files: Sequence[str | Location],
    folder: str | Location,
    shard: int,
    settings: BuildSettings,
    *,
    vocabulary_terms: int,
    captions: CaptionIndexing | None = None,
    progress: bool = False,
) -> ShardEntry:
    """Writes the files of one shard into the index folder; they belong to no index until `publish` names them.

    Reads LexiconVector Parquet files (id, terms, weights) a few rows at a time; further columns become stored fields
    (an optional binary column `thumbnail` too). Files are named after their content and appear by rename, so the same
    input can be built again safely, and `ShardEntry.to_json` can be kept aside to resume a job.

    Args:
        vector_files: Parquet files, read in this order; the position of a document in the shard is its row.
        folder: the index folder; made when missing. For a URL the files are written on this machine, then uploaded.
        shard: number of the shard, unique in the index.
        settings: pruning, quantisation and layout.
        vocabulary_terms: size of the vocabulary; a term id outside is an error.
        captions: makes postings of the column `captions` too; the same in all shards of an index.
        progress: print the steps, and the recall that quantisation costs.

    Raises:
        DataError: a file is missing or lacks a column; a row has unsorted, repeated or unknown terms, or weights that
            are not positive and finite; an id occurs twice; captions are to be indexed and there are none. The message
            names file and row.
    """

    def report(message: str) -> None:
        if progress:
            print(f"shard {shard}: {message}", flush=True)

    if not vector_files:
        raise DataError(f"shard {shard}: no vector files given.")
    if not locate(vector_files[0]).is_file():
        raise DataError(f"{vector_files[0]}: no such file of lexicon vectors.")
    where = locate(folder)
    folder = local_folder(where)
    folder.mkdir(parents=True, exist_ok=True)
    stem = shard_stem(shard)
    lengths, terms, weights, hashes = [], [], [], []
    report(f"reading {len(vector_files)} file(s)")
    with StoredWriter(folder, stem, stored_schema(vector_files[0])) as stored:
        for rows in read_vectors(vector_files, vocabulary_terms):
            starts, row_terms, row_weights = keep_top_terms(rows.starts, rows.terms, rows.weights, settings.top_terms)
            if captions is not None:
                cut = VectorRows(starts, row_terms, row_weights, rows.fields)
                starts, row_terms, row_weights = captions.append(cut)
            stored.append(rows.fields)
            lengths.append(np.diff(starts))
            terms.append(row_terms)
            weights.append(row_weights)
            hashes.append(hash_ids(rows.fields.column("id")))
        all_hashes = np.concatenate([np.empty(0, np.uint64), *hashes])
        repeated = repeated_hash(all_hashes)
        if repeated is not None:
            raise DataError(
                f"shard {shard}: the id {stored.id_of(repeated)!r} occurs twice in its vector files (again in row "
                f"{repeated} of the shard). Ids must be unique in an index."
            )
        stored_entry, parts = stored.finish()
    starts = np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))]).astype(np.int64)
    all_terms = np.concatenate([np.empty(0, np.int32), *terms])
    all_weights = np.concatenate([np.empty(0, np.float32), *weights])
    del lengths, terms, weights, hashes
    maximum_weight = settings.maximum_weight or float(all_weights.max(initial=_SMALLEST_WEIGHT))
    impacts = quantise(all_weights, maximum_weight, settings.impact_bits)
    posting_terms, caption_entry = vocabulary_terms, None
    if captions is not None:
        posting_terms = posting_terms_of(vocabulary_terms, captions.field)
        caption_entry = CaptionStatistics.of_postings(captions.field, starts, all_terms).write(folder, stem)
    exact_entry = None
    if settings.keep_exact_weights:
        exact_entry = write_exact_weights(folder, stem, starts, all_terms, all_weights)
    if progress and all_terms.size:
        recall = recall_of_impacts(starts, all_terms, all_weights, impacts, posting_terms)
        report(
            f"{settings.impact_bits}-bit impacts keep {recall:.1%} of the exact top 10 (sampled documents as queries)"
        )
    postings = order_and_write(
        folder, stem, starts, all_terms, impacts, maximum_weight, settings, posting_terms, report
    )
    identifiers = write_sections(folder, stem, "ids", {**parts, **identifier_arrays(all_hashes)})
    report(
        f"{starts.size - 1} documents, {postings.bytes / max(1, starts.size - 1):.1f} bytes a document without "
        f"stored fields"
    )
    entry = ShardEntry(
        shard, starts.size - 1, 0, postings, stored_entry, identifiers, exact_entry, captions=caption_entry
    )
    put(folder, where, [entry])
    return entry


def shard_stem(shard: int) -> str:
    """How the names of a shard's files begin."""
    return f"shard-{shard:05d}"


def order_and_write(
    folder: Path,
    stem: str,
    starts: np.ndarray,
    terms: np.ndarray,
    impacts: np.ndarray,
    maximum_weight: float,
    settings: BuildSettings,
    posting_terms: int,
    report: Callable[[str], None],
) -> FileEntry:
    """Puts documents in order and writes their posting lists.

    Args:
        folder, stem: index folder and start of the file name.
        starts, terms, impacts: documents by position.
        maximum_weight: the weight of the highest impact.
        settings: ordering and layout.
        posting_terms: term ids are below it.
        report: told what is being done.
    """
    report("ordering documents")
    order = document_order(starts, terms, impacts.astype(np.float32), posting_terms, settings.ordering_terms)
    report("writing posting lists")
    return write_postings(
        folder,
        stem,
        starts,
        terms,
        impacts,
        order,
        vocabulary_terms=posting_terms,
        impact_bits=settings.impact_bits,
        maximum_weight=maximum_weight,
        row_share=settings.row_share,
    )


def repeated_hash(hashes: np.ndarray) -> int | None:
    """The index of a value that occurred before among `hashes` [N] uint64, or None."""
    order = np.argsort(hashes, kind="stable")
    again = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    return int(order[again[0] + 1]) if again.size else None


def publish(
    folder: str | Location,
    entries: Sequence[ShardEntry],
    *,
    vocabulary_fingerprint: str,
    model_fingerprint: str,
    settings: BuildSettings,
    vocabulary_terms: int,
    captions: CaptionField | None = None,
) -> Manifest:
    """Makes the shards an index: checks their files, then writes `index.json` by rename.

    An index published there before is replaced at that moment; its files stay where they are. Behind a URL the files
    have to be there already, as `build_shard` leaves them; those that this machine does not hold are fetched.
    `captions` is the field that all shards were built with, if they were.

    Raises:
        IndexFormatError: a file of an entry is missing, cut or damaged, or a shard number occurs twice.
        DataError: the same id occurs in two shards; the message names it.
    """
    where = locate(folder)
    numbers = [entry.shard for entry in entries]
    if len(set(numbers)) != len(numbers):
        raise IndexFormatError(f"{where}: a shard number occurs twice among {numbers}.")
    local = fetch(where, entries)
    shards = [Shard(local, entry) for entry in entries]
    posting_terms = posting_terms_of(vocabulary_terms, captions)
    for shard in shards:
        if shard.postings.vocabulary_terms != posting_terms:
            raise IndexFormatError(
                f"{where}: shard {shard.entry.shard} was built for {shard.postings.vocabulary_terms} terms, not "
                f"{posting_terms}; all shards of an index have captions, or none has."
            )
    _refuse_repeated_ids(shards)
    generation = read_manifest(where).generation + 1 if (where / MANIFEST_NAME).is_file() else 1
    manifest = Manifest(
        generation=generation,
        vocabulary_fingerprint=vocabulary_fingerprint,
        model_fingerprint=model_fingerprint,
        vocabulary_terms=vocabulary_terms,
        settings=asdict(settings),
        shards=tuple(entries),
        captions=captions,
    )
    write_manifest(where, manifest)
    return manifest


def _refuse_repeated_ids(shards: Sequence[Shard]) -> None:
    hashes, owners, positions = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], [np.empty(0, np.uint32)]
    for number, shard in enumerate(shards):
        shard.identifiers.verify("hashes", "hash_positions")
        local = shard.identifiers["hash_positions"]
        live = np.ones(local.size, bool) if shard.deleted is None else ~shard.deleted[local]
        hashes.append(shard.identifiers["hashes"][live])
        positions.append(local[live])
        owners.append(np.full(int(live.sum()), number, np.int32))
    repeated = repeated_hash(np.concatenate(hashes))
    if repeated is not None:
        shard = shards[int(np.concatenate(owners)[repeated])]
        name = shard.stored.row(int(np.concatenate(positions)[repeated]))["id"]
        raise DataError(
            f"the id {name!r} of shard {shard.entry.shard} occurs in another shard too. Ids must be unique in an index."
        )
