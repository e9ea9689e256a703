"""A corpus to serve without training anything: a tiny model from scratch and topical documents over its vocabulary.

The vocabulary has as many terms as captions of photos use (Flickr8k: 8,566), most of them made up; those that queries
say are among the most frequent. Terms are as unequal as words are. The heads begin with a bias, so that the words of a
text stand out among the few terms that are searched, as trained heads make them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.index import BuildSettings, build_shard, publish
from lexlip.index.manifest import ShardEntry
from lexlip.vocabulary import Vocabulary

TOPICS = 400
TERMS_OF_A_TOPIC = 60
TERMS_OF_A_DOCUMENT = 32
IMAGE_SIZE = 64
SEED = 11
VOCABULARY_TERMS = 8_000
RANK_OFFSET = 10  # of Zipf's law as Mandelbrot has it: the most frequent words differ less than by rank alone
INITIAL_BIAS = -0.5
CONTENTS = ("first", "second")


def make_model(folder: Path) -> Path:
    """An untrained LexLIP model with towers as small as the demo's; a forward pass costs what a trained one's does."""
    if (folder / "config.json").is_file():
        return folder
    import torch

    from lexlip.data.preprocessing import ImagePreprocessing
    from lexlip.data.scenes import SceneSettings, make_scene
    from lexlip.model.building import ModelSettings, build_lexlip
    from lexlip.model.image_tower import ImageTowerConfig
    from lexlip.model.text_tower import TextTowerConfig

    captions = [caption for place in range(400) for caption in make_scene(SEED, place, SceneSettings(16)).captions]
    settings = ModelSettings(
        image=ImageTowerConfig("test_vit", image_size=IMAGE_SIZE),
        text=TextTowerConfig(width=128, layers=2, heads=4, intermediate=512),
        preprocessing=ImagePreprocessing(size=IMAGE_SIZE),
        initial_bias=INITIAL_BIAS,
    )
    said = Vocabulary.train(captions, VOCABULARY_TERMS).terms
    made_up = tuple(f"thing{number}" for number in range(VOCABULARY_TERMS - len(said)))
    torch.manual_seed(SEED)
    build_lexlip(settings, Vocabulary((*said, *made_up))).save_pretrained(folder)
    return folder


def queries() -> list[str]:
    """Captions that no document was made from."""
    from lexlip.data.scenes import SceneSettings, make_scene

    return [make_scene(SEED + 1, place, SceneSettings(16)).captions[0] for place in range(200)]


@dataclass(frozen=True)
class ServedIndex:
    """A folder whose published index can be replaced by another of as many documents, and back.

    Attributes:
        folder: of the index.
        contents: shards of each content, by the name that the ids of its documents begin with.
        model: folder of the model.
    """

    folder: Path
    contents: dict[str, tuple[ShardEntry, ...]]
    model: Path

    def publish(self, content: str) -> int:
        """Publishes one of the contents as the next generation; its number."""
        vocabulary = Vocabulary.load(self.model)
        return publish(
            self.folder,
            self.contents[content],
            vocabulary_fingerprint=vocabulary.fingerprint,
            model_fingerprint=json.loads((self.model / "config.json").read_text())["fingerprint"],
            settings=BuildSettings(),
            vocabulary_terms=len(vocabulary),
        ).generation


def make_index(folder: Path, model: Path, documents: int, shards: int) -> ServedIndex:
    """An index of synthetic documents, each of one topic, with normalised, falling weights; the first content is on."""
    vocabulary = Vocabulary.load(model)
    rng = np.random.default_rng(SEED)
    terms = vocabulary.ordinary_ids
    frequency = 1 / (RANK_OFFSET + np.arange(len(terms)))
    frequency /= frequency.sum()
    topics = np.array([rng.choice(terms, TERMS_OF_A_TOPIC, replace=False, p=frequency) for _ in range(TOPICS)])
    rows = -(-documents // shards)
    contents = {}
    for number, content in enumerate(CONTENTS):
        entries = []
        for shard in range(shards):
            part = folder.parent / f"{content}-{shard}.parquet"
            if not part.is_file():
                own = np.random.default_rng((SEED, number, shard))  # the same whichever parts are there already
                table = _documents(own, topics, content, shard * rows, min(rows, documents - shard * rows))
                pq.write_table(table, part)
            entries.append(build_shard([part], folder, shard, BuildSettings(), vocabulary_terms=len(vocabulary)))
        contents[content] = tuple(entries)
    index = ServedIndex(folder, contents, model)
    index.publish(CONTENTS[0])
    return index


def _documents(rng: np.random.Generator, topics: np.ndarray, content: str, first: int, count: int) -> pa.Table:
    chosen = topics[rng.integers(0, len(topics), count)]
    terms, weights = [], []
    for own in chosen:
        picked = np.sort(rng.choice(own, TERMS_OF_A_DOCUMENT, replace=False)).astype(np.int32)
        raw = rng.gamma(1.0, 1.0, len(picked)).astype(np.float32) + 0.01
        terms.append(picked)
        weights.append(raw / np.linalg.norm(raw))
    return pa.table(
        {
            "id": [f"{content}-{number}" for number in range(first, first + count)],
            "terms": pa.array(terms, pa.list_(pa.int32())),
            "weights": pa.array(weights, pa.list_(pa.float32())),
            "caption": [f"synthetic document {number}" for number in range(first, first + count)],
        }
    )
