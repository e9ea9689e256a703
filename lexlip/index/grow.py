"""Changing a published index: adding documents, deleting them, merging shards.

Shards never change. A change writes new files beside the old ones and then replaces `index.json`, so that a reader
sees the state before or
after it, and a kill at any moment leaves the published state as it was. Writers take turns by a lock on the folder.
Files of earlier states
stay until `remove_unreferenced` is asked for.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lexlip.errors import DataError, IndexFormatError
from lexlip.index.build import build_shard, order_and_write, shard_stem
from lexlip.index.caption_postings import CaptionIndexing
from lexlip.index.caption_statistics import CAPTIONS_KIND, CaptionStatistics
from lexlip.index.exact_weights import write_exact_weights
from lexlip.index.identifiers import hash_ids, identifier_arrays
from lexlip.index.manifest import MANIFEST_NAME, FileEntry, Manifest, ShardEntry, read_manifest, write_manifest
from lexlip.index.quantisation import dequantise, quantise
from lexlip.index.sections import write_sections
from lexlip.index.settings import BuildSettings
from lexlip.index.shard import Shard, write_tombstones
from lexlip.index.stored import StoredWriter
from lexlip.storage import Location, locate

if TYPE_CHECKING:
    from lexlip.vocabulary import Vocabulary

_LOCK_NAME = "index.lock"
_SUFFIXES = ("postings", "stored", "ids", "weights", "deleted", CAPTIONS_KIND)


def _here(path: str | Location) -> Path:
    """The folder, refused behind a URL: a lock on it would not keep other machines from changing it too."""
    folder = locate(path)
    if isinstance(folder, Path):
        return folder
    raise IndexFormatError(
        f"{path}: an index is changed in a local folder: `lexlip index copy` it there, change it, and copy it back."
    )


@contextmanager
def _changing(folder: Path) -> Iterator[Manifest]:
    """Waits until no other process changes the index, and yields its published state; a kill frees the lock."""
    manifest = read_manifest(folder)
    with (folder / _LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = read_manifest(folder)
        yield manifest


def _next_state(folder: Path, manifest: Manifest, shards: Sequence[ShardEntry]) -> Manifest:
    changed = replace(manifest, generation=manifest.generation + 1, shards=tuple(shards))
    write_manifest(folder, changed)
    return changed


def _without(folder: Path, shard: Shard, positions: np.ndarray) -> ShardEntry:
    """The entry of a shard with further documents deleted."""
    if positions.size == 0:
        return shard.entry
    deleted = np.zeros(shard.documents, bool) if shard.deleted is None else shard.deleted.copy()
    deleted[positions] = True
    tombstones = write_tombstones(folder, shard_stem(shard.entry.shard), deleted)
    return replace(shard.entry, deleted=int(deleted.sum()), tombstones=tombstones)


def add_documents(
    path: str | Location,
    vector_files: Sequence[str | Location],
    *,
    settings: BuildSettings | None = None,
    vocabulary: Vocabulary | None = None,
    progress: bool = False,
) -> Manifest:
    """Adds the documents of vector files as a new shard, the last one. A document whose id is in the index replaces
    the old one.

    Args:
        path: the index folder.
        vector_files: LexiconVector Parquet files, made with the model of the index.
        settings: how the shard is built; None takes those of the index.
        vocabulary: of the index, needed if it has captions: those of the new documents are weighed by its parameters.
        progress: print the steps.

    Returns:
        the new published state.

    Raises:
        DataError: as `build_shard`; no vocabulary for an index with captions.
        VocabularyError: another vocabulary than that of the index.
        IndexFormatError: no index there, or it is damaged.
    """
    folder = _here(path)
    with _changing(folder) as manifest:
        captions = None
        if manifest.captions is not None:
            if vocabulary is None:
                raise DataError(f"{folder}: has captions; give add_documents the vocabulary that cuts new ones.")
            vocabulary.require_same(manifest.vocabulary_fingerprint, f"the index {folder}")
            captions = CaptionIndexing(manifest.captions, vocabulary)
        number = max((entry.shard for entry in manifest.shards), default=-1) + 1
        added = build_shard(
            vector_files,
            folder,
            number,
            settings or BuildSettings(**manifest.settings),
            vocabulary_terms=manifest.vocabulary_terms,
            captions=captions,
            progress=progress,
        )
        fresh = Shard(folder, added)
        fresh.identifiers.verify("hashes", "hash_positions")
        shards = []
        for entry in manifest.shards:
            shard = Shard(folder, entry)
            shard.identifiers.verify("hashes", "hash_positions")
            common = np.isin(shard.identifiers["hashes"], fresh.identifiers["hashes"])
            old = shard.identifiers["hash_positions"][common].astype(np.int64)
            replaced = [
                position for position in old.tolist() if fresh.position_of(shard.stored.row(position)["id"]) is not None
            ]
            shards.append(_without(folder, shard, np.array(replaced, np.int64)))
        return _next_state(folder, manifest, [*shards, added])


def delete_documents(path: str | Location, ids: Sequence[str]) -> tuple[Manifest, int]:
    """Deletes documents by id; positions of the others stay as they are until shards are merged.

    Returns:
        the published state, a new one if something was deleted, and how many documents were. Ids that are not there
        count for nothing.

    Raises:
        IndexFormatError: no index there, or it is damaged.
    """
    folder = _here(path)
    with _changing(folder) as manifest:
        changed, count = [], 0
        for entry in manifest.shards:
            shard = Shard(folder, entry)
            found = {position for id in ids if (position := shard.position_of(id)) is not None}
            changed.append(_without(folder, shard, np.array(sorted(found), np.int64)))
            count += len(found)
        return (_next_state(folder, manifest, changed) if count else manifest), count


def merge_shards(path: str | Location, shards: Sequence[int] | None = None, *, progress: bool = False) -> Manifest:
    """Makes one shard of several, without their deleted documents; it takes the place of the first.

    Documents keep their order. Impacts are kept as they are when the shards share their quantisation, and are
    quantised anew from their
    weights otherwise.

    Args:
        path: the index folder.
        shards: numbers of the shards; None merges all.
        progress: print the steps.

    Returns:
        the new published state.

    Raises:
        IndexFormatError: no index there, no such shard, or it is damaged.
        DataError: together they have more documents than a shard holds, or differ in their stored fields.
    """
    folder = _here(path)
    with _changing(folder) as manifest:
        numbers = [entry.shard for entry in manifest.shards] if shards is None else list(shards)
        missing = set(numbers) - {entry.shard for entry in manifest.shards}
        if missing or not numbers:
            raise IndexFormatError(f"{folder}: no shard {min(missing, default='')} to merge.")
        chosen = [Shard(folder, entry) for entry in manifest.shards if entry.shard in numbers]
        merged = _merge(folder, chosen, max(entry.shard for entry in manifest.shards) + 1, manifest, progress)
        kept: list[ShardEntry] = []
        for entry in manifest.shards:
            if entry.shard == chosen[0].entry.shard:
                kept.append(merged)
            elif entry.shard not in numbers:
                kept.append(entry)
        return _next_state(folder, manifest, kept)


def _merge(folder: Path, shards: Sequence[Shard], number: int, manifest: Manifest, progress: bool) -> ShardEntry:
    """Writes the files of a merged shard."""

    def report(message: str) -> None:
        if progress:
            print(f"shard {number}: {message}", flush=True)

    settings = BuildSettings(**manifest.settings)
    stem = shard_stem(number)
    report(f"merging shards {', '.join(str(shard.entry.shard) for shard in shards)}")
    lengths, terms, impacts, hashes = [], [], [], []
    maximum_weight = max(shard.postings.maximum_weight for shard in shards)
    impact_bits = max(shard.postings.impact_bits for shard in shards)
    settings = replace(settings, impact_bits=impact_bits)
    with StoredWriter(folder, stem, shards[0].stored.schema) as stored:
        for shard in shards:
            live = np.ones(shard.documents, bool) if shard.deleted is None else ~shard.deleted
            starts, own_terms, own_impacts = shard.postings.all_documents()
            postings_kept = np.repeat(live, np.diff(starts))
            lengths.append(np.diff(starts)[live])
            terms.append(own_terms[postings_kept])
            impacts.append(_on_scale(shard, own_impacts[postings_kept], maximum_weight, impact_bits))
            row = 0
            for batch_number in range(shard.stored.batches):
                batch = shard.stored.batch(batch_number)
                rows = batch.filter(pa.array(live[row : row + batch.num_rows]))
                row += batch.num_rows
                if rows.num_rows:
                    stored.append(rows)
                    hashes.append(hash_ids(rows.column("id")))
        stored_entry, parts = stored.finish()
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    all_terms = np.concatenate(terms)
    postings = order_and_write(
        folder,
        stem,
        starts,
        all_terms,
        np.concatenate(impacts),
        maximum_weight,
        settings,
        manifest.posting_terms,
        report,
    )
    all_hashes = np.concatenate([np.empty(0, np.uint64), *hashes])
    identifiers = write_sections(folder, stem, "ids", {**parts, **identifier_arrays(all_hashes)})
    exact = _merged_exact_weights(folder, stem, shards)
    counts = None
    if manifest.captions is not None:
        counts = CaptionStatistics.of_postings(manifest.captions, starts, all_terms).write(folder, stem)
    return ShardEntry(number, starts.size - 1, 0, postings, stored_entry, identifiers, exact, captions=counts)


def _on_scale(shard: Shard, impacts: np.ndarray, maximum_weight: float, impact_bits: int) -> np.ndarray:
    """Impacts in the quantisation of the merged shard."""
    own = shard.postings
    if (own.maximum_weight, own.impact_bits) == (maximum_weight, impact_bits):
        return impacts
    return quantise(dequantise(impacts, own.maximum_weight, own.impact_bits), maximum_weight, impact_bits)


def _merged_exact_weights(folder: Path, stem: str, shards: Sequence[Shard]) -> FileEntry | None:
    """The exact weights of live documents, when every shard has kept them."""
    kept = [shard.exact_weights for shard in shards]
    lengths, terms, weights = [np.zeros(1, np.int64)], [], []
    for shard, exact in zip(shards, kept, strict=True):
        if exact is None:
            return None
        live = np.ones(shard.documents, bool) if shard.deleted is None else ~shard.deleted
        own = np.diff(exact.starts)
        lengths.append(own[live])
        terms.append(exact.terms[np.repeat(live, own)])
        weights.append(exact.weights[np.repeat(live, own)].astype(np.float32))
    starts = np.cumsum(np.concatenate(lengths)).astype(np.int64)
    return write_exact_weights(folder, stem, starts, np.concatenate(terms), np.concatenate(weights))


def unreferenced_files(path: str | Location) -> list[Path]:
    """Files of earlier states, and of builds that were not published or were cut off."""
    folder = _here(path)
    named = {file.name for entry in read_manifest(folder).shards for file in entry.files}
    return sorted(
        file
        for file in folder.glob("shard-*")
        if file.name not in named and (file.suffix[1:] in _SUFFIXES or ".tmp-" in file.name)
    ) + sorted(folder.glob(f"{MANIFEST_NAME}.tmp-*"))


def remove_unreferenced(path: str | Location) -> int:
    """Deletes the files of `unreferenced_files`; returns the bytes freed. Not to be used while a shard is being
    built there.
    """
    folder = _here(path)
    with _changing(folder):
        freed = 0
        for file in unreferenced_files(folder):
            freed += file.stat().st_size
            file.unlink()
        return freed
