"""A corpus to serve without training anything: a tiny model from scratch and topical documents over its vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.index import BuildSettings, build_shard, publish
from lexlip.index.manifest import Manifest, read_manifest
from lexlip.vocabulary import Vocabulary

TOPICS = 400
TERMS_OF_A_TOPIC = 60
TERMS_OF_A_DOCUMENT = 32
IMAGE_SIZE = 64
SEED = 11


def make_model(folder: Path) -> Path:
    """An untrained LexLIP model with towers as small as the demo's; a forward pass costs what a trained one's does."""
    if (folder / "config.json").is_file():
        return folder
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
    )
    build_lexlip(settings, Vocabulary.train(captions, 2000)).save_pretrained(folder)
    return folder


def queries() -> list[str]:
    """Captions that no document was made from."""
    from lexlip.data.scenes import SceneSettings, make_scene

    return [make_scene(SEED + 1, place, SceneSettings(16)).captions[0] for place in range(200)]


def make_index(folder: Path, model: Path, documents: int, shards: int) -> Manifest:
    """An index of synthetic documents: each of one topic, with normalised, falling weights."""
    import json

    vocabulary = Vocabulary.load(model)
    if not (folder / "index.json").is_file():
        rng = np.random.default_rng(SEED)
        terms = np.array([term for term in range(len(vocabulary)) if term not in vocabulary.special_ids])
        topics = np.array([rng.choice(terms, TERMS_OF_A_TOPIC, replace=False) for _ in range(TOPICS)])
        rows = -(-documents // shards)
        entries = []
        for shard in range(shards):
            part = folder.parent / f"vectors-{shard}.parquet"
            pq.write_table(_documents(rng, topics, shard * rows, min(rows, documents - shard * rows)), part)
            entries.append(build_shard([part], folder, shard, BuildSettings(), vocabulary_terms=len(vocabulary)))
        fingerprint = json.loads((model / "config.json").read_text())["fingerprint"]
        publish(
            folder,
            entries,
            vocabulary_fingerprint=vocabulary.fingerprint,
            model_fingerprint=fingerprint,
            settings=BuildSettings(),
            vocabulary_terms=len(vocabulary),
        )
    return read_manifest(folder)


def publish_again(folder: Path, manifest: Manifest) -> int:
    """The same shards as the next generation; its number."""
    return publish(
        folder,
        manifest.shards,
        vocabulary_fingerprint=manifest.vocabulary_fingerprint,
        model_fingerprint=manifest.model_fingerprint,
        settings=BuildSettings(),
        vocabulary_terms=manifest.vocabulary_terms,
    ).generation


def _documents(rng: np.random.Generator, topics: np.ndarray, first: int, count: int) -> pa.Table:
    chosen = topics[rng.integers(0, len(topics), count)]
    terms, weights = [], []
    for own in chosen:
        picked = np.sort(rng.choice(own, TERMS_OF_A_DOCUMENT, replace=False)).astype(np.int32)
        raw = rng.gamma(1.0, 1.0, len(picked)).astype(np.float32) + 0.01
        terms.append(picked)
        weights.append(raw / np.linalg.norm(raw))
    return pa.table(
        {
            "id": [f"document-{number}" for number in range(first, first + count)],
            "terms": pa.array(terms, pa.list_(pa.int32())),
            "weights": pa.array(weights, pa.list_(pa.float32())),
            "caption": [f"synthetic document {number}" for number in range(first, first + count)],
        }
    )
