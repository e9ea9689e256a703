"""Building a shard and publishing an index: what is refused, what is kept, what is measured."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from lexlip.errors import DataError, IndexFormatError
from lexlip.index import BuildSettings, Index, ShardEntry, build_shard, publish
from lexlip.index.quantisation import dequantise, quantise

SETTINGS = BuildSettings()


def vector_file(path, terms, weights, ids=None, **columns):
    ids = ids or [f"photo-{row}" for row in range(len(terms))]
    table = {
        "id": ids,
        "terms": pa.array(terms, pa.list_(pa.int32())),
        "weights": pa.array(weights, pa.list_(pa.float32())),
        **columns,
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ([[1], [5, 3]], [[0.5], [0.1, 0.2]], r"row 1 \(id 'photo-1'\): terms must be ascending"),
        ([[2, 2]], [[0.5, 0.5]], "ascending without repetition"),
        ([[1], [], [-1]], [[0.5], [], [0.5]], "row 2 .*outside the vocabulary of 100 terms"),
        ([[100]], [[0.5]], "outside the vocabulary"),
        ([[1]], [[0.0]], "positive and finite"),
        ([[1]], [[-0.5]], "positive and finite"),
        ([[1]], [[float("nan")]], "positive and finite"),
        ([[1]], [[float("inf")]], "positive and finite"),
        ([[1, 2]], [[0.5]], "differ in number"),
        ([None], [[0.5]], "terms is null"),
    ],
)
def test_unsuitable_rows_are_refused_by_file_and_row(tmp_path, terms, weights, message):
    path = vector_file(tmp_path / "bad.parquet", terms, weights)
    with pytest.raises(DataError, match=message) as refused:
        build_shard([path], tmp_path / "index", 0, SETTINGS, vocabulary_terms=100)
    assert "bad.parquet" in str(refused.value)
    assert list((tmp_path / "index").iterdir()) == [], "nothing half-written stays behind"


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.parquet: no such file"):
        build_shard([tmp_path / "nowhere.parquet"], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)
    with pytest.raises(DataError, match="no vector files"):
        build_shard([], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)
    foreign = tmp_path / "foreign.parquet"
    foreign.write_bytes(b"hello")
    with pytest.raises(DataError, match=r"foreign\.parquet: not readable as Parquet"):
        build_shard([foreign], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)
    pq.write_table(pa.table({"id": ["a"]}), foreign)
    with pytest.raises(DataError, match=r"column\(s\) terms, weights missing"):
        build_shard([foreign], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)


def test_repeated_ids_are_refused_inside_and_between_shards(tmp_path):
    twice = vector_file(tmp_path / "twice.parquet", [[1], [2], [3]], [[0.5]] * 3, ["a", "b", "a"])
    with pytest.raises(DataError, match="'a' occurs twice"):
        build_shard([twice], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)
    entries = []
    for shard, ids in enumerate((["a", "b"], ["c", "b"])):
        path = vector_file(tmp_path / f"{shard}.parquet", [[1], [2]], [[0.5]] * 2, ids)
        entries.append(build_shard([path], tmp_path / "index", shard, SETTINGS, vocabulary_terms=10))
    with pytest.raises(DataError, match="'b' of shard 1 occurs in another shard"):
        published(tmp_path / "index", entries)
    assert not (tmp_path / "index" / "index.json").exists()


def published(folder, entries, vocabulary_terms=10):
    return publish(
        folder,
        entries,
        vocabulary_fingerprint="v",
        model_fingerprint="m",
        settings=SETTINGS,
        vocabulary_terms=vocabulary_terms,
    )


def test_entries_survive_json_and_the_same_input_gives_the_same_files(tmp_path, make_collection, write_vectors):
    path = write_vectors(make_collection(500), tmp_path / "vectors.parquet")
    entry = build_shard([path], tmp_path / "index", 3, SETTINGS, vocabulary_terms=300)
    assert ShardEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
    assert build_shard([path], tmp_path / "index", 3, SETTINGS, vocabulary_terms=300) == entry
    assert sorted(file.name for file in (tmp_path / "index").iterdir()) == sorted(file.name for file in entry.files)


def test_publishing_needs_whole_files(tmp_path, make_collection, write_vectors):
    path = write_vectors(make_collection(200), tmp_path / "vectors.parquet")
    entry = build_shard([path], tmp_path / "index", 0, SETTINGS, vocabulary_terms=300)
    with pytest.raises(IndexFormatError, match="twice"):
        published(tmp_path / "index", [entry, entry], 300)
    with pytest.raises(IndexFormatError, match="built for 300 terms, not 10"):
        published(tmp_path / "index", [entry], 10)
    stored = tmp_path / "index" / entry.stored.name
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(IndexFormatError, match="the file was cut"):
        published(tmp_path / "index", [entry], 300)
    stored.unlink()
    with pytest.raises(IndexFormatError, match="missing"):
        published(tmp_path / "index", [entry], 300)


def test_generations_count_up(tmp_path, make_collection, write_vectors):
    path = write_vectors(make_collection(100), tmp_path / "vectors.parquet")
    entry = build_shard([path], tmp_path / "index", 0, SETTINGS, vocabulary_terms=300)
    assert published(tmp_path / "index", [entry], 300).generation == 1
    assert published(tmp_path / "index", [entry], 300).generation == 2


def test_stored_fields_come_back_as_they_were(tmp_path, make_collection, build_index):
    folder = build_index(make_collection(1_000), tmp_path, shards=2)
    index = Index.open(folder)
    rows = index.stored([0, 63, 64, 500, 999])
    assert [row["id"] for row in rows] == [f"photo-{n}" for n in (0, 63, 64, 500, 999)]
    assert rows[2] == {"id": "photo-64", "captions": ["caption 64", "second"], "thumbnail": b"jpeg 64"}
    assert index.position_of("photo-777") == 777
    assert index.position_of("photo-1000") is None
    assert index.stored_columns(["id"]).column("id").to_pylist() == [f"photo-{n}" for n in range(1_000)]
    with pa.memory_map(str(folder / index.manifest.shards[0].stored.name)) as file:
        assert pa.ipc.open_file(file).read_all().num_rows == 500, "any reader of Arrow files can read it"


def test_dictionaries_and_several_files_make_one_shard(tmp_path):
    kinds = pa.array(["cat", "dog"]).dictionary_encode()
    first = vector_file(tmp_path / "1.parquet", [[1], []], [[0.5], []], ["a", "b"], kind=kinds)
    second = vector_file(tmp_path / "2.parquet", [[1, 2], [9]], [[0.4, 0.1], [1.0]], ["c", "d"], kind=kinds)
    entry = build_shard([first, second], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)
    published(tmp_path / "index", [entry])
    index = Index.open(tmp_path / "index")
    assert [row["kind"] for row in index.stored(range(4))] == ["cat", "dog", "cat", "dog"]
    assert index.search([1], [1.0]).positions.tolist() == [0, 2]
    assert len(index.vector(1)) == 0
    third = vector_file(tmp_path / "3.parquet", [[1]], [[0.5]], ["e"])
    with pytest.raises(DataError, match="differ in their columns"):
        build_shard([first, third], tmp_path / "index", 1, SETTINGS, vocabulary_terms=10)


def test_an_empty_shard_is_an_index_too(tmp_path):
    path = vector_file(tmp_path / "empty.parquet", [], [])
    published(tmp_path / "index", [build_shard([path], tmp_path / "index", 0, SETTINGS, vocabulary_terms=10)])
    index = Index.open(tmp_path / "index")
    assert index.documents == 0
    assert len(index.search([1], [1.0])) == 0


def test_pruning_keeps_the_heaviest_terms(tmp_path, make_collection, build_index):
    collection = make_collection(300)
    index = Index.open(build_index(collection, tmp_path, settings=BuildSettings(top_terms=4)))
    for document in (0, 150, 299):
        np.testing.assert_array_equal(index.vector(document).terms, collection.vector(document).top(4).terms)


def test_impacts_are_weights_within_half_a_step():
    weights = np.linspace(0.001, 0.7, 1000).astype(np.float32)
    for bits in (4, 5, 6, 7, 8):
        impacts = quantise(weights, 0.7, bits)
        assert impacts.min() == 1
        assert impacts.max() == (1 << bits) - 1
        step = 0.7 / ((1 << bits) - 1)
        above = weights > step / 2
        assert np.abs(dequantise(impacts, 0.7, bits) - weights)[above].max() <= step / 2 + 1e-6
    with pytest.raises(DataError, match=r"above maximum_weight 0\.5"):
        quantise(weights, 0.5, 8)


def test_the_cost_of_quantisation_is_printed(tmp_path, make_collection, write_vectors, capsys):
    path = write_vectors(make_collection(1_000), tmp_path / "vectors.parquet")
    kept = {}
    for bits in (4, 8):
        settings = BuildSettings(impact_bits=bits)
        build_shard([path], tmp_path / "index", bits, settings, vocabulary_terms=300, progress=True)
        line = next(line for line in capsys.readouterr().out.splitlines() if "top 10" in line)
        kept[bits] = float(line.split("keep ")[1].split("%")[0])
    assert kept[4] < kept[8]
    assert kept[8] > 98


def test_fewer_bits_and_fewer_row_lists_make_a_smaller_index(tmp_path, make_collection, build_index):
    collection = make_collection(4_000)
    sizes = {}
    for bits, row_share in ((8, 0.02), (8, 0.5), (4, 0.5)):
        folder = tmp_path / f"{bits}-{row_share}"
        sizes[bits, row_share] = Index.open(
            build_index(collection, folder, settings=BuildSettings(impact_bits=bits, row_share=row_share))
        ).bytes
    assert sizes[4, 0.5] < sizes[8, 0.5] < sizes[8, 0.02]


@pytest.mark.parametrize(
    "wrong", [{"impact_bits": 3}, {"impact_bits": 9}, {"top_terms": 0}, {"maximum_weight": 0.0}, {"row_share": 1.0}]
)
def test_unsuitable_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BuildSettings(**wrong)


def test_folders_without_an_index_say_so(tmp_path):
    with pytest.raises(IndexFormatError, match=r"no index\.json there"):
        Index.open(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(IndexFormatError, match="not readable as JSON"):
        Index.open(tmp_path)
    (tmp_path / "index.json").write_text('{"format": "something else"}')
    with pytest.raises(IndexFormatError, match="not the manifest of a LexLIP index"):
        Index.open(tmp_path)
    (tmp_path / "index.json").write_text('{"format": "lexlip-index", "format_version": 99}')
    with pytest.raises(IndexFormatError, match="format version 99"):
        Index.open(tmp_path)


def test_an_unknown_shard_is_refused(tmp_path, make_collection, build_index):
    with pytest.raises(IndexFormatError, match="no shard 7"):
        Index.open(build_index(make_collection(50), tmp_path), shards=[7])
