"""What few terms could hold if they need not be words: each photo of training as a term, with nothing learned.

    python benchmarks/known_photos.py --clip models/clip --train '../shared/data/flickr8k/train-*.parquet' \
        --data ../shared/data/flickr8k/val-00000.parquet

A picture or caption weighs a term by how like it is to what the term stands for, in the space of a dense model, and is
cut to its heaviest terms as a lexicon vector is. results/flickr8k-recipe.md compares it with words that were learned.

Shapes: V terms, N vectors, E width of the dense model.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lexlip.errors import ModelError
from lexlip.evaluation.retrieval import evaluate_dense, evaluate_sparse
from lexlip.model.clip import DenseCLIP
from lexlip.model.saving import load_model
from lexlip.tables import SMALLEST_LENGTH, LexiconVector
from pipelines.cluster_session import cluster_session, run_main
from pipelines.encoded_pairs import EncodedPairs, encode_pairs
from pipelines.encoding import EncodeSettings
from pipelines.vector_parts import write_json

CUTS = ((None, None), (32, 16), (16, 8))  # terms kept of images and of captions
LEAST_VARIANCE = 1e-3  # of the largest: below it a direction is noise, and evening it out would make it loud


@dataclass(frozen=True)
class KnownPhotos:
    """What to measure.

    Attributes:
        clip: folder of the dense model.
        train: pairs whose photos become terms. data: pairs that are searched.
        terms: what a term stands for: a photo's picture, or the middle between it and its captions.
        threshold: likeness at which a weight begins.
        power: of what is above it.
        evenness: how far the directions of the space are evened out: each is divided by this power of its variance.
        work: where vectors are kept for the next run.
        json: where to write the result.
    """

    clip: Path
    train: str
    data: str
    terms: Literal["pictures", "photos"] = "photos"
    threshold: float = 0.25
    power: float = 2.0
    evenness: float = 0.1
    work: Path = Path("out/bench/known-photos")
    json: Path | None = None


class Space:
    """The dense space as training pairs fill it: each side around its own mean, directions evened out."""

    def __init__(self, pairs: EncodedPairs, evenness: float) -> None:
        images_NE, captions_NE = _units(pairs.images), _units(pairs.caption_vectors)
        self._means = images_NE.mean(axis=0), captions_NE.mean(axis=0)
        around = np.concatenate([_units(images_NE - self._means[0]), _units(captions_NE - self._means[1])])
        variance_E, directions_EE = np.linalg.eigh(around.T @ around / len(around))
        scales_E = np.maximum(variance_E / variance_E.max(), LEAST_VARIANCE) ** -evenness
        self._evened_EE = directions_EE * scales_E @ directions_EE.T

    def images(self, vectors_NE: np.ndarray) -> np.ndarray:
        """[N, E] images in it, of unit length."""
        return self._placed(vectors_NE, self._means[0])

    def captions(self, vectors_NE: np.ndarray) -> np.ndarray:
        """[N, E] captions in it, of unit length."""
        return self._placed(vectors_NE, self._means[1])

    def _placed(self, vectors_NE: np.ndarray, mean_E: np.ndarray) -> np.ndarray:
        return _units(_units(_units(vectors_NE) - mean_E) @ self._evened_EE)


def _units(vectors_NE: np.ndarray) -> np.ndarray:
    return vectors_NE / np.maximum(np.linalg.norm(vectors_NE, axis=1, keepdims=True), SMALLEST_LENGTH)


def what_terms_stand_for(job: KnownPhotos, space: Space, pairs: EncodedPairs) -> np.ndarray:
    """[V, E] of unit length."""
    pictures_VE = space.images(np.asarray(pairs.images))
    if job.terms == "pictures":
        return pictures_VE
    said_VE = np.zeros_like(pictures_VE)
    np.add.at(said_VE, pairs.right.image_of_caption, space.captions(np.asarray(pairs.caption_vectors)))
    return _units(pictures_VE + _units(said_VE))


def vectors_over(
    job: KnownPhotos, placed_NE: np.ndarray, terms_VE: np.ndarray, kept: int | None
) -> list[LexiconVector]:
    """Sparse vectors over the terms, cut to the heaviest and scaled to unit length."""
    vectors = []
    for weights_V in np.maximum(placed_NE @ terms_VE.T - job.threshold, 0.0) ** job.power:
        present = np.flatnonzero(weights_V).astype(np.int32)
        vector = LexiconVector(present, weights_V[present].astype(np.float32))
        vectors.append((vector if kept is None else vector.top(kept)).scaled_to_unit_length())
    return vectors


def measure(job: KnownPhotos) -> dict:
    """Recall of the dense model itself and of the sparse vectors at each cut.

    Raises:
        ModelError: the model is no dense one.
        DataError: the pairs cannot be used.
    """
    if (kind := load_model(job.clip).kind) != DenseCLIP.kind:
        raise ModelError(f"{job.clip}: a {kind!r} model; --clip takes the folder of a dense one")
    settings = EncodeSettings(thumbnail_pixels=0)
    train, searched = (
        encode_pairs(job.clip, data, job.work / name, image_settings=settings, text_settings=settings)
        for name, data in (("train", job.train), ("data", job.data))
    )
    space = Space(train, job.evenness)
    terms_VE = what_terms_stand_for(job, space, train)
    images_NE, captions_NE = (
        space.images(np.asarray(searched.images)),
        space.captions(np.asarray(searched.caption_vectors)),
    )
    dense = evaluate_dense(np.asarray(searched.images), np.asarray(searched.caption_vectors), searched.right)
    found = {"dense": dense.to_json()}
    for image_terms, caption_terms in CUTS:
        images = vectors_over(job, images_NE, terms_VE, image_terms)
        captions = vectors_over(job, captions_NE, terms_VE, caption_terms)
        name = "whole" if image_terms is None else f"{image_terms}/{caption_terms}"
        found[name] = evaluate_sparse(images, captions, searched.right).to_json()
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(KnownPhotos)
    with cluster_session():
        found = measure(job)
    if job.json is not None:
        write_json(job.json, found | {"command": " ".join(["python", *sys.argv])})


if __name__ == "__main__":
    run_main(main)
