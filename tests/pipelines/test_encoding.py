"""Encoding on Ray: parts, their resumption, bad rows, and the index built from them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError, VocabularyError
from lexlip.index import Index, fuse, said_pieces
from lexlip.model.saving import load_model
from lexlip.vocabulary import Vocabulary
from pipelines.encoded_pairs import read_vectors
from pipelines.encoding import EncodeSettings, encode_corpus
from pipelines.index_building import build_index, shard_groups
from pipelines.vector_parts import finished_parts

# Of the shared `vectors`.
SETTINGS = EncodeSettings(top_terms=12, part_rows=16, thumbnail_pixels=32)


def corpus_rows(scenes: Path) -> list[dict]:
    return [row for unit in open_pairs(str(scenes)).units for table in read_unit(unit) for row in table.to_pylist()]


def test_the_vectors_are_those_of_the_model(vectors: Path, tiny_lexlip: Path, scenes: Path) -> None:
    rows = corpus_rows(scenes)
    expected = load_model(tiny_lexlip).encode_image([row["image"] for row in rows], top_terms=12)
    ids, encoded = read_vectors(vectors)
    assert ids == [row["image_id"] for row in rows]
    for vector, wanted in zip(encoded, expected, strict=True):
        np.testing.assert_array_equal(vector.terms, wanted.terms)
        np.testing.assert_allclose(vector.weights, wanted.weights, rtol=1e-4)


def test_pictures_are_read_mirrored_too_where_the_job_or_the_model_says_so(
    vectors: Path, tiny_lexlip: Path, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"mirrored False \(now True\)"):
        encode_corpus(tiny_lexlip, str(scenes), vectors, replace(SETTINGS, mirrored=True))
    model = load_model(tiny_lexlip)
    model.preprocessing = replace(model.preprocessing, mirrored=True)
    expected = model.encode_image([row["image"] for row in corpus_rows(scenes)], top_terms=12)
    model.save_pretrained(tmp_path / "model")
    encode_corpus(tmp_path / "model", str(scenes), tmp_path / "by-model", SETTINGS)
    encode_corpus(tmp_path / "model", str(scenes), tmp_path / "not-by-job", replace(SETTINGS, mirrored=False))

    once = read_vectors(vectors)[1]
    for folder, all_wanted in ((tmp_path / "by-model", expected), (tmp_path / "not-by-job", once)):
        for vector, wanted in zip(read_vectors(folder)[1], all_wanted, strict=True):
            np.testing.assert_array_equal(vector.terms, wanted.terms)
            np.testing.assert_allclose(vector.weights, wanted.weights, rtol=1e-4)


def test_captions_thumbnail_and_other_columns_travel_along(vectors: Path, scenes: Path) -> None:
    stored = [row for file in finished_parts(vectors) for row in pq.read_table(file).to_pylist()]
    for row, source in zip(stored, corpus_rows(scenes), strict=True):
        assert row["captions"] == source["captions"]
        assert row["concepts"] == source["concepts"]
        assert row["thumbnail"][:2] == b"\xff\xd8"
        assert "image" not in row


def test_the_same_command_again_encodes_only_what_is_missing(
    vectors: Path, tiny_lexlip: Path, scenes: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "vectors"
    shutil.copytree(vectors, folder)
    first, lost, last = finished_parts(folder)
    whole = pq.read_table(lost)
    lost.unlink()
    times = [file.stat().st_mtime_ns for file in (first, last)]
    summary = encode_corpus(tiny_lexlip, str(scenes), folder, SETTINGS)
    assert summary.parts_already_there == 2
    assert summary.documents == 40
    assert pq.read_table(lost).equals(whole)
    assert [file.stat().st_mtime_ns for file in (first, last)] == times


def test_other_settings_do_not_mix(vectors: Path, tiny_lexlip: Path, scenes: Path) -> None:
    with pytest.raises(DataError, match=r"top_terms 12 \(now 5\).*another folder"):
        encode_corpus(tiny_lexlip, str(scenes), vectors, replace(SETTINGS, top_terms=5))


def test_another_model_does_not_mix(vectors: Path, tiny_clip: Path, scenes: Path) -> None:
    with pytest.raises(DataError, match=r"kind lexlip \(now clip\)"):
        encode_corpus(tiny_clip, str(scenes), vectors, SETTINGS)


def test_other_data_does_not_mix(vectors: Path, tiny_lexlip: Path, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "copy")
    with pytest.raises(DataError, match="belong to other data"):
        encode_corpus(tiny_lexlip, str(tmp_path / "copy"), vectors, SETTINGS)


def test_bad_rows_are_dropped_and_named(ray_session: None, tiny_lexlip: Path, scenes: Path, tmp_path: Path) -> None:
    good = corpus_rows(scenes)[:3]
    rows = [
        {"image_id": "broken", "image": b"no picture", "captions": ["a thing"]},
        {"image_id": "absent", "image": None, "captions": ["a thing"]},
        *({name: row[name] for name in ("image_id", "image", "captions")} for row in good),
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    summary = encode_corpus(tiny_lexlip, str(tmp_path / "pairs.parquet"), tmp_path / "vectors", SETTINGS)
    record = json.loads((tmp_path / "vectors" / "summary.json").read_text())
    assert summary.documents == 3
    assert record["dropped_rows"] == 2
    assert [row["id"] for row in record["dropped"]] == ["broken", "absent"]
    assert all(row["reason"] for row in record["dropped"])
    assert read_vectors(tmp_path / "vectors")[0] == [row["image_id"] for row in good]


def test_captions_can_be_the_documents(ray_session: None, tiny_clip: Path, scenes: Path, tmp_path: Path) -> None:
    encode_corpus(tiny_clip, str(scenes), tmp_path / "captions", replace(SETTINGS, side="text", part_rows=64))
    ids, encoded = read_vectors(tmp_path / "captions")
    rows = corpus_rows(scenes)
    assert ids == [f"{row['image_id']}#{number}" for row in rows for number in range(5)]
    expected = load_model(tiny_clip).encode_text([caption for row in rows for caption in row["captions"]])
    np.testing.assert_allclose(encoded, expected, atol=1e-5)


def test_the_index_has_every_document_once_whatever_the_number_of_shards(vectors: Path, tmp_path: Path) -> None:
    ids, encoded = read_vectors(vectors)
    one, three = (build_index(vectors, tmp_path / str(shards), shards, impact_bits=8) for shards in (1, 3))
    assert one.documents == three.documents == len(ids)
    assert [shard.documents for shard in three.shards] == [16, 16, 8]
    whole, split = Index.open(tmp_path / "1"), Index.open(tmp_path / "3")
    assert [row["id"] for row in split.stored(range(len(ids)))] == ids
    for query in encoded[::7]:
        left, right = whole.search(query.terms, query.weights, 5), split.search(query.terms, query.weights, 5)
        np.testing.assert_array_equal(left.positions, right.positions)
        np.testing.assert_array_equal(left.scores, right.scores)


def test_captions_are_indexed_alike_whatever_the_number_of_shards(
    vectors: Path, tiny_lexlip: Path, tmp_path: Path
) -> None:
    vocabulary = load_model(tiny_lexlip).vocabulary
    _, encoded = read_vectors(vectors)
    for shards in (1, 3):
        build_index(vectors, tmp_path / str(shards), shards, 8, vocabulary)
    whole, split = Index.open(tmp_path / "1"), Index.open(tmp_path / "3")
    assert whole.manifest.captions == split.manifest.captions
    for vector in encoded[::7]:
        query = fuse(vector, said_pieces(vocabulary, "a red car at the beach"), split.captions, 0.4)
        left, right = whole.search(query.terms, query.weights, 5), split.search(query.terms, query.weights, 5)
        np.testing.assert_array_equal(left.positions, right.positions)
        np.testing.assert_array_equal(left.scores, right.scores)
    with pytest.raises(VocabularyError):
        build_index(vectors, tmp_path / "other", 1, 8, Vocabulary((*vocabulary.terms, "another")))


def test_more_shards_than_parts_is_refused_with_advice() -> None:
    assert shard_groups([5, 0, 5, 5], 2) == [[0, 2], [3]]
    with pytest.raises(DataError, match="fewer shards"):
        shard_groups([5, 0], 2)
