"""From a folder of lexicon vectors to a published index: one Ray task per shard, then one rename."""

import time

import numpy as np
import ray

from lexlip.errors import DataError
from lexlip.index import BuildSettings, CaptionIndexing, Manifest, ShardEntry, build_shard, measure_captions, publish
from lexlip.index.caption_postings import CaptionLengths
from lexlip.storage import Location
from lexlip.vocabulary import Vocabulary
from pipelines.vector_parts import EncodingRecord, finished_parts, read_reports


def build_index(
    vectors: Location, index: Location, shards: int, impact_bits: int, caption_vocabulary: Vocabulary | None = None
) -> Manifest:
    """Builds all shards of an index and publishes it; an index that is already there is replaced in one step.

    Args:
        vectors: a finished folder of lexicon vectors, local or behind a URL.
        index: the index folder, likewise.
        shards: how many; each takes consecutive parts, about equally many documents.
        impact_bits: bits of a quantised weight.
        caption_vocabulary: the vectors' vocabulary, if the words of captions are indexed too.

    Raises:
        DataError: the vectors are dense, unfinished, or in fewer parts than there are to be shards; captions are to be
            indexed and there are none.
        VocabularyError: another vocabulary than that of the vectors.
    """
    began = time.perf_counter()
    record = EncodingRecord.load(vectors)
    if record.kind != "lexlip":
        raise DataError(f"{vectors}: holds dense vectors; an inverted index needs the vectors of a LexLIP model")
    parts = [part.absolute() for part in finished_parts(vectors)]
    reports = read_reports(parts)
    # One scale for all shards, so that scores of different shards are comparable to the last bit.
    settings = BuildSettings(impact_bits=impact_bits, maximum_weight=max(report.maximum_weight for report in reports))
    groups = shard_groups([report.documents for report in reports], shards)
    files = [[parts[number] for number in group] for group in groups]
    captions = None
    if caption_vocabulary is not None:
        caption_vocabulary.require_same(record.vocabulary_fingerprint, str(vectors))
        lengths = ray.get([_measure_one.remote(own, caption_vocabulary) for own in files])
        field = sum(lengths[1:], lengths[0]).field(caption_vocabulary, settings.maximum_weight)
        captions = CaptionIndexing(field, caption_vocabulary)
    tasks = [
        _build_one.remote(own, index.absolute(), shard, settings, record.vocabulary_terms, captions)
        for shard, own in enumerate(files)
    ]
    manifest = publish(
        index,
        ray.get(tasks),
        vocabulary_fingerprint=record.vocabulary_fingerprint,
        model_fingerprint=record.model_fingerprint,
        settings=settings,
        vocabulary_terms=record.vocabulary_terms,
        captions=captions.field if captions is not None else None,
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
def _measure_one(parts: list[Location], vocabulary: Vocabulary) -> CaptionLengths:
    return measure_captions(parts, vocabulary)


@ray.remote(num_cpus=1)
def _build_one(
    parts: list[Location],
    index: Location,
    shard: int,
    settings: BuildSettings,
    vocabulary_terms: int,
    captions: CaptionIndexing | None,
) -> ShardEntry:
    return build_shard(parts, index, shard, settings, vocabulary_terms=vocabulary_terms, captions=captions)
