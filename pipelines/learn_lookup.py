"""Learns a query encoder without a network for a finished model: a weight for each term, looked up per query.

    python pipelines/learn_lookup.py --model out/demo/lexlip --data out/demo/data/train --out out/demo/lookup
    python pipelines/evaluate.py --model out/demo/lexlip --lookup out/demo/lookup      # beside the text tower

Images are encoded once on Ray (interrupted, the same command goes on); learning then takes seconds to minutes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
import tyro

from lexlip.errors import ModelError
from lexlip.model.query_lookup import QueryLookup
from lexlip.model.saving import load_model
from lexlip.training.lookup_learning import LookupSettings, learn_lookup
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO, require, require_lasting
from pipelines.encoded_pairs import read_vectors
from pipelines.encoding import IMAGE_TERMS, ActorSettings, EncodeSettings, encode_corpus
from pipelines.vector_parts import finished_parts


@dataclass(frozen=True)
class LearnLookup:
    """Learn a query lookup from images and their captions.

    Attributes:
        model: folder of a LexLIP model.
        data: training pairs: Parquet file, glob or folder, or an image folder with captions.
        out: folder for the table; the image vectors are kept beside it in `<out>.vectors`.
        image_terms: terms kept per image, as in the index that will be searched.
        learning: epochs, batch and rate.
        actors: the processes that hold the model.
    """

    model: Path = DEMO / "lexlip"
    data: str = str(DEMO / "data" / "train")
    out: Path = DEMO / "lookup"
    image_terms: int | None = IMAGE_TERMS
    learning: LookupSettings = field(default_factory=LookupSettings)
    actors: Annotated[ActorSettings, tyro.conf.arg(name="")] = field(default_factory=ActorSettings)


def learn(job: LearnLookup) -> QueryLookup:
    """Encodes the images, learns the table and saves it.

    Raises:
        ModelError: the model is no lexicon model.
        DataError: there are not enough images with captions.
    """
    model = load_model(job.model)
    if model.kind != "lexlip":
        raise ModelError(f"{job.model}: a {model.kind!r} model has no lexicon to look terms up in; give a LexLIP model")
    vectors = job.out.with_name(job.out.name + ".vectors")
    encode_corpus(
        job.model, job.data, vectors, EncodeSettings(top_terms=job.image_terms, thumbnail_pixels=0), job.actors
    )
    _, images = read_vectors(vectors)
    assert not isinstance(images, np.ndarray)
    captions = [
        list(own or [])
        for file in finished_parts(vectors)
        for own in pq.read_table(file, columns=["captions"])["captions"].to_pylist()
    ]
    lookup, losses = learn_lookup(model.vocabulary, images, captions, job.learning)
    lookup.save(job.out)
    print(f"learn_lookup: {job.out}, loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
    return lookup


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(LearnLookup)
    require(job.model, job.data)
    require_lasting(out=job.out)
    with cluster_session():
        learn(job)


if __name__ == "__main__":
    run_main(main)
