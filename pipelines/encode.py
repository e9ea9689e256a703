"""Encodes a corpus on Ray: photos (or captions) to vectors and, for a LexLIP model, to a published index.

    python pipelines/encode.py --model out/demo/lexlip --data PHOTOS --vectors V --index I --top-terms 32 --shards 2

The same command again goes on where it stopped. With a dense CLIP model only the vectors are written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lexlip.commands.location_argument import LocationArgument
from lexlip.vocabulary import Vocabulary
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO, require, require_lasting
from pipelines.encoding import ActorSettings, EncodeSettings, encode_corpus
from pipelines.index_building import build_index
from pipelines.vector_parts import EncodingRecord


@dataclass(frozen=True)
class Encode:
    """Encode a corpus and index it.

    Attributes:
        model: folder of a LexLIP or dense CLIP model.
        data: the corpus: Parquet file, glob or folder, or an image folder; captions are optional for pictures.
        vectors: folder or URL for the vectors, one Parquet part per piece of the corpus.
        index: folder or URL for the index; not used with dense vectors.
        shards: shards of the index.
        impact_bits: bits of a quantised weight, 4 to 8.
        captions: index the words of the corpus' captions too, so that a search can weigh both.
        settings: what becomes a document.
        actors: the processes that hold the model.
    """

    model: Path = DEMO / "lexlip"
    data: str = str(DEMO / "data" / "val")
    vectors: LocationArgument = DEMO / "vectors"
    index: LocationArgument = DEMO / "index"
    shards: int = 1
    impact_bits: int = 8
    captions: bool = False
    settings: Annotated[EncodeSettings, tyro.conf.arg(name="")] = field(default_factory=EncodeSettings)
    actors: Annotated[ActorSettings, tyro.conf.arg(name="")] = field(default_factory=ActorSettings)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Encode)
    require(job.model, job.data)
    require_lasting(vectors=job.vectors, index=job.index)
    with cluster_session():
        encode_corpus(job.model, job.data, job.vectors, job.settings, job.actors)
        if EncodingRecord.load(job.vectors).kind == "lexlip":
            caption_vocabulary = Vocabulary.load(job.model) if job.captions else None
            build_index(job.vectors, job.index, job.shards, job.impact_bits, caption_vocabulary)


if __name__ == "__main__":
    run_main(main)
