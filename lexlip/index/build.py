"""From LexiconVector Parquet files to one shard; from shards to a published index."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lexlip.errors import DataError, IndexFormatError
from lexlip.index.identifiers import hash_ids, identifier_arrays
from lexlip.index.manifest import MANIFEST_NAME, Manifest, ShardEntry, read_manifest, write_manifest
from lexlip.index.pruning import keep_top_terms
from lexlip.index.quantisation import quantise
from lexlip.index.sections import Sections, map_file, write_sections
from lexlip.index.settings import BuildSettings
from lexlip.index.stored import StoredWriter
from lexlip.index.vectors import read_vectors, stored_schema


def build_shard(
    vector_files: Sequence[str | Path],
    folder: str | Path,
    shard: int,
    settings: BuildSettings,
    *,
    vocabulary_terms: int,
    progress: bool = False,
) -> ShardEntry:
    """Writes the files of one shard into the index folder; they belong to no index until `publish` names them.

    Reads LexiconVector Parquet files (id, terms, weights) a few rows at a time; further columns become stored fields (an optional
    binary column `thumbnail` too). Files are named after their content and appear by rename, so the same input can be built
    again safely, and `ShardEntry.to_json` can be kept aside to resume a job.

    Args:
        vector_files: Parquet files, read in this order; the position of a document in the shard is its row.
        folder: the index folder; made when missing.
        shard: number of the shard, unique in the index.
        settings: pruning, quantisation and layout.
        vocabulary_terms: size of the vocabulary; a term id outside is an error.
        progress: print the steps, and the recall that quantisation costs.

    Raises:
        DataError: a file is missing or lacks a column; a row has unsorted, repeated or unknown terms, or weights that are not
            positive and finite; an id occurs twice. The message names file and row.
    """
    if not vector_files:
        raise DataError(f"shard {shard}: no vector files given.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"shard-{shard:05d}"
    if not Path(vector_files[0]).is_file():
        raise DataError(f"{vector_files[0]}: no such file of lexicon vectors.")
    stored = StoredWriter(folder, stem, stored_schema(vector_files[0]))
    hashes, lengths, terms, weights = [], [], [], []
    for rows in read_vectors(vector_files, vocabulary_terms):
        starts, row_terms, row_weights = keep_top_terms(rows.starts, rows.terms, rows.weights, settings.top_terms)
        stored.append(rows.fields, stem)
        hashes.append(hash_ids(rows.fields.column("id")))
        lengths.append(np.diff(starts))
        terms.append(row_terms)
        weights.append(row_weights)
    stored_entry, parts = stored.finish()
    all_hashes = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    _refuse_repeated_hashes(all_hashes, stem)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]) if lengths else np.zeros(1, np.int64)
    all_weights = np.concatenate(weights) if weights else np.empty(0, np.float32)
    maximum = settings.maximum_weight or float(all_weights.max(initial=np.float32(1e-30)))
    postings = write_sections(
        folder,
        stem,
        "postings",
        {
            "settings": np.array([len(starts) - 1, settings.impact_bits, maximum], np.float64),
            "starts": starts.astype(np.int64),
            "terms": np.concatenate(terms).astype(np.int32) if terms else np.empty(0, np.int32),
            "impacts": quantise(all_weights, maximum, settings.impact_bits),
        },
    )
    identifiers = write_sections(folder, stem, "ids", {**parts, **identifier_arrays(all_hashes)})
    return ShardEntry(shard, len(starts) - 1, 0, postings, stored_entry, identifiers)


def _refuse_repeated_hashes(hashes: np.ndarray, what: str) -> None:
    unique, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    if unique.size != hashes.size:
        row = int(first[np.argmax(counts > 1)])
        raise DataError(f"{what}: the id of row {row} occurs twice. Ids must be unique in an index.")


def publish(
    folder: str | Path,
    entries: Sequence[ShardEntry],
    *,
    vocabulary_fingerprint: str,
    model_fingerprint: str,
    settings: BuildSettings,
    vocabulary_terms: int,
) -> Manifest:
    """Makes the shards an index: checks their files, then writes `index.json` by rename. Replaces a published index atomically.

    Raises:
        IndexFormatError: a file of an entry is missing, cut or damaged in its header, or a shard number occurs twice.
        DataError: the same id occurs in two shards; the message names it.
    """
    folder = Path(folder)
    numbers = [entry.shard for entry in entries]
    if len(set(numbers)) != len(numbers):
        raise IndexFormatError(f"{folder}: a shard number occurs twice among {numbers}.")
    for entry in entries:
        Sections(folder, entry.postings, "postings")
        map_file(folder, entry.stored)
    generation = read_manifest(folder).generation + 1 if (folder / MANIFEST_NAME).exists() else 1
    manifest = Manifest(
        generation=generation,
        vocabulary_fingerprint=vocabulary_fingerprint,
        model_fingerprint=model_fingerprint,
        vocabulary_terms=vocabulary_terms,
        settings=asdict(settings),
        shards=tuple(entries),
    )
    write_manifest(folder, manifest)
    return manifest
