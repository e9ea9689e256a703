"""From a folder of lexicon vectors to a published index: one Ray task per shard, then one rename."""

import time
from pathlib import Path

import numpy as np
import ray

from lexlip.errors import DataError
from lexlip.index import BuildSettings, Manifest, ShardEntry, build_shard, publish
from pipelines.vector_parts import EncodingRecord, finished_parts, read_report


def build_index(vectors: Path, index: Path, shards: int, impact_bits: int) -> Manifest:
    """Builds all shards of an index and publishes it; an index that is already there is replaced in one step.

    Args:
        vectors: a finished folder of lexicon vectors.
        index: the index folder.
        shards: how many; each takes consecutive parts, about equally many documents.
        impact_bits: bits of a quantised weight.

    Raises:
        DataError: the vectors are dense, unfinished, or in fewer parts than there are to be shards.
    """
    began = time.perf_counter()
    record = EncodingRecord.load(vectors)
    if record.kind != "lexlip":
        raise DataError(f"{vectors}: holds dense vectors; an inverted index needs the vectors of a LexLIP model")
    parts = [part.absolute() for part in finished_parts(vectors)]
    reports = [read_report(part) for part in parts]
    # One scale for all shards, so that scores of different shards are comparable to the last bit.
    settings = BuildSettings(impact_bits=impact_bits, maximum_weight=max(report.maximum_weight for report in reports))
    groups = shard_groups([report.documents for report in reports], shards)
    tasks = [
        _build_one.remote(
            [parts[number] for number in group], index.absolute(), shard, settings, record.vocabulary_terms
        )
        for shard, group in enumerate(groups)
    ]
    manifest = publish(
        index,
        ray.get(tasks),
        vocabulary_fingerprint=record.vocabulary_fingerprint,
        model_fingerprint=record.model_fingerprint,
        settings=settings,
        vocabulary_terms=record.vocabulary_terms,
    )
    seconds = time.perf_counter() - began
    print(f"index: {manifest.documents:,} documents in {shards} shard(s) -> {index}, {seconds:.1f} s", flush=True)
    return manifest


def shard_groups(documents: list[int], shards: int) -> list[list[int]]:
    """Cuts parts into consecutive groups, none of them empty. Parts are about equally large, so the groups are too.

    Args:
        documents: documents of each part, in order; parts without any are left out.
        shards: number of groups.

    Raises:
        DataError: there are fewer parts with documents than shards.
    """
    filled = [number for number, count in enumerate(documents) if count]
    if not 1 <= shards <= len(filled):
        raise DataError(
            f"{len(filled)} vector part(s) cannot become {shards} shard(s): "
            "take fewer shards, or encode with a smaller --part-rows"
        )
    return [group.tolist() for group in np.array_split(filled, shards)]


@ray.remote(num_cpus=1)
def _build_one(
    parts: list[Path], index: Path, shard: int, settings: BuildSettings, vocabulary_terms: int
) -> ShardEntry:
    return build_shard(parts, index, shard, settings, vocabulary_terms=vocabulary_terms)
