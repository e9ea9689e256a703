"""Pairs encoded for evaluation: vectors of all images and of all captions, and which caption describes which image."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.evaluation.retrieval import RightAnswers
from lexlip.evaluation.vector_files import read_dense_vectors, read_lexicon_vectors
from pipelines.corpus_sides import Vectors
from pipelines.encoding import ActorSettings, EncodeSettings, EncodeTarget, encode_targets
from pipelines.vector_parts import EncodingRecord, finished_parts, read_report


@dataclass(frozen=True)
class EncodedPairs:
    """Both sides of a set of pairs.

    Attributes:
        record: what made the image vectors.
        image_ids: I ids.
        captions: the captions of each image.
        images: I vectors.
        texts: C captions, in the order of `caption_vectors`.
        caption_vectors: C vectors.
        right: which image each caption describes.
    """

    record: EncodingRecord
    image_ids: list[str]
    captions: list[list[str]]
    images: Vectors
    texts: list[str]
    caption_vectors: Vectors
    right: RightAnswers


def encode_pairs(
    model: Path,
    data: str,
    folder: Path,
    *,
    image_settings: EncodeSettings,
    text_settings: EncodeSettings,
    image_vectors: Path | None = None,
    actors: ActorSettings | None = None,
) -> EncodedPairs:
    """Encodes both sides on Ray and reads them back.

    Args:
        model: folder of a LexLIP or of the dense baseline.
        data: location of pairs with captions.
        folder: where the vectors go; what is there already is not encoded again.
        image_settings, text_settings: how the sides are encoded; `side` is set here.
        actors: the processes that hold the model.
        image_vectors: finished image vectors of this model and data, to be used instead of encoding the images.

    Raises:
        DataError: no captions, two images with the same id, or image vectors of another model or other data.
    """
    image_folder = image_vectors or folder / "images"
    text_folder = folder / "captions"
    targets = [EncodeTarget(data, text_folder, replace(text_settings, side="text"))]
    if image_vectors is None:
        targets.append(EncodeTarget(data, image_folder, replace(image_settings, side="image")))
    encode_targets(model, targets, actors)
    image_ids, images = read_vectors(image_folder)
    _, caption_vectors = read_vectors(text_folder)
    positions = {image_id: position for position, image_id in enumerate(image_ids)}
    if len(positions) < len(image_ids):
        twice = next(image_id for position, image_id in enumerate(image_ids) if positions[image_id] != position)
        raise DataError(f"{data}: the image id {twice!r} occurs twice, so it is not clear what is right")
    owners = read_column(text_folder, "image_id")
    record, text_record = EncodingRecord.load(image_folder), EncodingRecord.load(text_folder)
    if record.model_fingerprint != text_record.model_fingerprint:
        raise DataError(
            f"{image_folder}: vectors of model {record.model_fingerprint}, not of {model}; encode them again"
        )
    # The captions of an image that could not be decoded have no right answer and are no queries.
    dropped = {row.id for file in finished_parts(image_folder) for row in read_report(file).dropped}
    strange = next((owner for owner in owners if owner not in positions and owner not in dropped), None)
    if strange is not None:
        raise DataError(f"{image_folder}: has no vector of the image {strange!r} of {data}; encode this data first")
    kept = np.array([number for number, owner in enumerate(owners) if owner in positions], np.int64)
    texts = [texts[0] for texts in read_column(text_folder, "captions")]
    return EncodedPairs(
        record=record,
        image_ids=image_ids,
        captions=read_column(image_folder, "captions"),
        images=images,
        texts=[texts[number] for number in kept],
        caption_vectors=_take(caption_vectors, kept),
        right=RightAnswers(np.array([positions[owners[number]] for number in kept], np.int64), len(image_ids)),
    )


def read_vectors(folder: Path) -> tuple[list[str], Vectors]:
    """Ids and vectors of a finished folder of either kind, in the order of the corpus."""
    files = finished_parts(folder)
    return read_dense_vectors(files) if EncodingRecord.load(folder).kind == "clip" else read_lexicon_vectors(files)


def _take(vectors: Vectors, rows: np.ndarray) -> Vectors:
    return vectors[rows] if isinstance(vectors, np.ndarray) else [vectors[row] for row in rows]


def read_column(folder: Path, name: str) -> list:
    """A column of a finished folder, in the order of the corpus."""
    return [value for file in finished_parts(folder) for value in pq.read_table(file, columns=[name])[name].to_pylist()]
