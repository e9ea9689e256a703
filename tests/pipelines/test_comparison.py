"""Evaluation and comparison of two untrained models on the generated scenes, through Ray, index and FAISS."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError
from lexlip.evaluation.recall import Recall
from lexlip.index import Index
from lexlip.model.saving import load_model
from pipelines.compare_clip import CompareClip, describe_comparison, write_comparison
from pipelines.comparison import CompareSettings
from pipelines.encoded_pairs import encode_pairs
from pipelines.encoding import EncodeSettings
from pipelines.evaluate import Evaluate, evaluate
from pipelines.index_building import build_index


@pytest.fixture(scope="module")
def job(
    vectors: Path, tiny_lexlip: Path, tiny_clip: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> CompareClip:
    folder = tmp_path_factory.mktemp("compared")
    build_index(vectors, folder / "index", shards=2, impact_bits=8)
    return CompareClip(
        tiny_lexlip,
        tiny_clip,
        folder / "index",
        vectors,
        str(scenes),
        folder / "report",
        CompareSettings(query_terms=(4,), queries=20, rounds=2, examples=2),
    )


def test_the_comparison_is_measured_and_written(job: CompareClip) -> None:
    comparison = write_comparison(job)
    record = json.loads((job.out / "comparison.json").read_text())
    assert record["corpus"] == {"data": job.data, "images": 40, "captions": 200}
    assert [system["name"] for system in record["systems"]] == ["lexlip"] * 3 + ["faiss-flat"] * 2
    assert record["memory_ratio"] == pytest.approx(4 * 16 * 40 / Index.open(job.index).bytes, abs=0.01)
    assert record["systems"][-1]["recall"] == record["quality"]["clip"]["text_to_image"]
    page = (job.out / "comparison.html").read_text()
    assert all(example.text.split()[0] in page for example in comparison.examples)
    assert page.count("data:image/jpeg;base64,") == sum(len(e.lexlip) + len(e.clip) for e in comparison.examples)
    assert "faster" in page
    assert "bytes/image" in describe_comparison(comparison)


def test_image_vectors_of_other_data_are_refused(job: CompareClip, tmp_path: Path) -> None:
    shutil.copytree(job.vectors, tmp_path / "fewer")
    summary = json.loads((tmp_path / "fewer" / "summary.json").read_text())
    (tmp_path / "fewer" / "summary.json").write_text(json.dumps({**summary, "parts": summary["parts"][:1]}))
    with pytest.raises(DataError, match="has no vector of the image"):
        encode_pairs(
            job.lexlip,
            job.data,
            job.out / "vectors" / "lexlip",
            image_settings=EncodeSettings(),
            text_settings=EncodeSettings(top_terms=None),
            image_vectors=tmp_path / "fewer",
        )


def test_evaluate_measures_what_the_model_itself_gives(ray_session: None, tiny_lexlip: Path, scenes: Path) -> None:
    evaluation = evaluate(Evaluate(tiny_lexlip, str(scenes), query_terms=6))
    model = load_model(tiny_lexlip)
    rows = [row for unit in open_pairs(str(scenes)).units for table in read_unit(unit) for row in table.to_pylist()]
    images = as_matrix(model.encode_image([row["image"] for row in rows]), len(model.vocabulary))
    captions = [caption for row in rows for caption in row["captions"]]
    scores_CI = as_matrix(model.encode_text(captions, top_terms=6), len(model.vocabulary)) @ images.T
    right = scores_CI[np.arange(200), np.repeat(np.arange(40), 5)]
    ranks = 1 + (scores_CI > right[:, None] + 1e-6).sum(axis=1)
    assert evaluation.text_to_image.r10 == pytest.approx(Recall.of_ranks(ranks).r10, abs=1.0)
    assert evaluation.terms is not None
    assert evaluation.terms.text_mean == 6
    assert set(evaluation.to_json()) >= {"text_to_image", "image_to_text", "terms"}


def as_matrix(vectors: list, terms: int) -> np.ndarray:
    matrix = np.zeros((len(vectors), terms), np.float32)
    for row, vector in enumerate(vectors):
        matrix[row, vector.terms] = vector.weights
    return matrix
