"""LexLIP's index measured beside FAISS over the dense twin's vectors of the same corpus, in one interleaved run."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexlip.errors import DataError
from lexlip.evaluation.retrieval import RightAnswers
from lexlip.evaluation.timing import time_interleaved
from lexlip.index import Index
from lexlip.model.saving import load_model
from lexlip.report.results import Comparison, SystemResult
from lexlip.tables import LexiconVector
from pipelines.comparison_examples import choose_examples
from pipelines.encoded_pairs import EncodedPairs, encode_pairs
from pipelines.encoding import EncodeSettings
from pipelines.evaluate import evaluate_encoded
from pipelines.measured_machine import describe_machine
from pipelines.rival_systems import RivalSystem, faiss_systems, lexlip_systems


@dataclass(frozen=True)
class CompareSettings:
    """How the comparison is made.

    Attributes:
        query_terms: cuts of the query that are tried beside the whole query.
        hits: asked of every system.
        queries: most captions that are timed; recall uses all of them.
        rounds: how often each system answers the timed queries.
        threads: threads of batches in both systems; one query at a time uses one.
        examples: queries shown with their pictures.
        seed: decides which queries are timed and shown.
    """

    query_terms: tuple[int, ...] = (16, 8, 4)
    hits: int = 10
    queries: int = 1000
    rounds: int = 5
    threads: int = 1
    examples: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Rivals:
    """The artefacts that are compared.

    Attributes:
        lexlip: folder of the LexLIP model.
        clip: folder of the dense model.
        index: the index of the corpus, made by LexLIP.
        vectors: the vectors the index was built from.
        data: the corpus, with captions.
        folder: where the other vectors go; what is there already is not encoded again.
    """

    lexlip: Path
    clip: Path
    index: Path
    vectors: Path
    data: str
    folder: Path


def compare(rivals: Rivals, settings: CompareSettings) -> Comparison:
    """Encodes what is not encoded yet, then measures recall, times and sizes.

    Raises:
        DataError: the index does not hold the corpus, or was made by another model.
    """
    index = Index.open(rivals.index)
    lexlip, clip = _encode(rivals, index)
    right = _right_in_index(index, lexlip, rivals)
    sample = _sample(len(lexlip.texts), settings)
    queries = [lexlip.caption_vectors[number] for number in range(len(lexlip.texts))]
    images, dense_queries = np.asarray(clip.images), np.asarray(clip.caption_vectors)
    print(f"compare: timing on {len(sample):,} queries, {settings.rounds} interleaved rounds", flush=True)
    every = _systems(index, queries, images, dense_queries, settings)
    timed = _systems(index, [queries[number] for number in sample], images, dense_queries[sample], settings)
    latencies = time_interleaved([system.timed for system in timed], len(sample), settings.rounds)
    results = tuple(
        SystemResult(
            name=system.name,
            setting=system.setting,
            recall=system.recall(right if system.name == "lexlip" else clip.right),
            latency=latency,
            bytes_per_image=system.bytes_per_image,
        )
        for system, latency in zip(every, latencies, strict=True)
    )
    return Comparison(
        corpus={"data": rivals.data, "images": index.documents, "captions": len(lexlip.texts)},
        quality={"lexlip": evaluate_encoded(lexlip, rivals.lexlip), "clip": evaluate_encoded(clip, rivals.clip)},
        systems=results,
        machine=describe_machine(settings.threads),
        command=shlex.join(["python", *sys.argv]),
        examples=choose_examples(
            index, lexlip, clip, load_model(rivals.lexlip).vocabulary, settings.examples, settings.seed
        ),
    )


def _encode(rivals: Rivals, index: Index) -> tuple[EncodedPairs, EncodedPairs]:
    vocabulary = load_model(rivals.lexlip).vocabulary
    vocabulary.require_same(index.manifest.vocabulary_fingerprint, str(rivals.index))
    whole, dense = EncodeSettings(top_terms=None), EncodeSettings(thumbnail_pixels=0)
    lexlip = encode_pairs(
        rivals.lexlip,
        rivals.data,
        rivals.folder / "lexlip",
        image_settings=whole,
        text_settings=whole,
        image_vectors=rivals.vectors,
    )
    if lexlip.record.model_fingerprint != index.manifest.model_fingerprint:
        raise DataError(
            f"{rivals.index}: was made by model {index.manifest.model_fingerprint}, {rivals.lexlip} is "
            f"{lexlip.record.model_fingerprint}; index again with pipelines/encode.py"
        )
    clip = encode_pairs(rivals.clip, rivals.data, rivals.folder / "clip", image_settings=dense, text_settings=dense)
    if clip.image_ids != lexlip.image_ids or clip.texts != lexlip.texts:
        raise DataError(
            f"{rivals.folder}: the two models were given different rows of {rivals.data}; remove the folder"
        )
    return lexlip, clip


def _right_in_index(index: Index, pairs: EncodedPairs, rivals: Rivals) -> RightAnswers:
    positions = [index.position_of(image_id) for image_id in pairs.image_ids]
    if None in positions or index.documents != len(positions):
        raise DataError(
            f"{rivals.index}: has {index.documents:,} documents, {rivals.data} has {len(positions):,} images, and "
            "they are not the same; index this corpus with pipelines/encode.py"
        )
    return RightAnswers(np.array(positions, np.int64)[pairs.right.image_of_caption], index.documents)


def _sample(captions: int, settings: CompareSettings) -> np.ndarray:
    chosen = np.random.default_rng(settings.seed).permutation(captions)[: settings.queries]
    return np.sort(chosen)


def _systems(
    index: Index,
    queries: Sequence[LexiconVector],
    images_IE: np.ndarray,
    dense_queries_QE: np.ndarray,
    settings: CompareSettings,
) -> list[RivalSystem]:
    cuts = (None, *settings.query_terms)
    return [
        *lexlip_systems(index, queries, cuts, settings.hits, settings.threads),
        *faiss_systems(images_IE, np.ascontiguousarray(dense_queries_QE), settings.hits, settings.threads),
    ]
