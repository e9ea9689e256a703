"""An index handed on to other engines ranks there as it does here.

Each file is read back as the engine reads it, scored by the engine's rule, and compared with our own search.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from lexlip.errors import DataError
from lexlip.exchange.anserini import anserini_query, export_anserini, export_seismic
from lexlip.exchange.elastic import elasticsearch_query, export_bulk, opensearch_query
from lexlip.exchange.imported import import_vectors
from lexlip.exchange.qdrant import export_qdrant, point_id, qdrant_query
from lexlip.exchange.sparse_matrix import export_csr
from lexlip.index import BuildSettings, Index, build_shard, delete_documents, publish
from lexlip.tables import LexiconVector
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

TERMS = 60
DOCUMENTS = 150
K = 20
DELETED = "photo-7"


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    """With the terms that are hard for others: numbers, dots, pieces."""
    hard = [".", "2000", "17", "##ing", '"', "café"]
    return Vocabulary((*SPECIAL_TERMS, *hard, *(f"word{number}" for number in range(TERMS - len(hard) - 5))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, words: Vocabulary) -> Path:
    """An index of 150 documents in two shards, one document deleted."""
    random = np.random.default_rng(3)
    base = tmp_path_factory.mktemp("exports")
    rows = []
    for number in range(DOCUMENTS):
        terms = np.sort(random.choice(np.arange(5, TERMS), random.integers(1, 12), replace=False))
        weights = random.gamma(2.0, 0.2, terms.size).clip(0.01, 1)
        rows.append(
            {
                "id": f"photo-{number}",
                "terms": terms.tolist(),
                "weights": weights.tolist(),
                "captions": [f'a "caption" {number}'],
                "thumbnail": b"\xff",
            }
        )
    settings = BuildSettings(maximum_weight=1.0)
    entries = []
    for shard, part in enumerate((rows[:100], rows[100:])):
        table = pa.Table.from_pylist(part)
        table = table.set_column(1, "terms", table["terms"].cast(pa.list_(pa.int32())))
        table = table.set_column(2, "weights", table["weights"].cast(pa.list_(pa.float32())))
        pq.write_table(table, base / f"{shard}.parquet")
        file = base / f"{shard}.parquet"
        entries.append(build_shard([file], base / "index", shard, settings, vocabulary_terms=TERMS))
    publish(
        base / "index",
        entries,
        vocabulary_fingerprint=words.fingerprint,
        model_fingerprint="m",
        settings=settings,
        vocabulary_terms=TERMS,
    )
    delete_documents(base / "index", [DELETED])
    return base / "index"


@pytest.fixture(scope="module")
def queries() -> list[LexiconVector]:
    random = np.random.default_rng(4)
    terms = [np.sort(random.choice(np.arange(5, TERMS), 6, replace=False)).astype(np.int32) for _ in range(20)]
    return [LexiconVector(own, random.uniform(0.1, 1, own.size).astype(np.float32)) for own in terms]


def ours(folder: Path, query: LexiconVector) -> list[str]:
    index = Index.open(folder)
    return [stored["id"] for stored in index.stored(index.search(query.terms, query.weights, K).positions.tolist())]


def ranked(documents: dict[str, dict], query: dict) -> list[str]:
    """Ids by falling sum over shared features, ties in the order of the file: the rule of all these engines."""
    scores = {
        name: sum(weight * vector[feature] for feature, weight in query.items() if feature in vector)
        for name, vector in documents.items()
    }
    found = [name for name in scores if scores[name] > 0]
    return sorted(found, key=lambda name: -round(scores[name], 9))[:K]


def in_words(query: LexiconVector, words: Vocabulary) -> dict[str, float]:
    return {words.term_of(int(term)): float(weight) for term, weight in zip(query.terms, query.weights, strict=True)}


def read_lines(*files: Path) -> list[dict]:
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("export", "text_field"), [(export_anserini, "contents"), (export_seismic, "content")])
def test_lines_of_json(
    folder: Path, words: Vocabulary, queries: list, tmp_path: Path, export: Callable, text_field: str
) -> None:
    assert export(folder, tmp_path / "out", words) == DOCUMENTS - 1
    lines = read_lines(*sorted((tmp_path / "out").glob("*.jsonl")))
    documents = {line["id"]: line["vector"] for line in lines}
    assert DELETED not in documents
    assert lines[0][text_field] == 'a "caption" 0'
    assert all(isinstance(impact, int) and impact > 0 for vector in documents.values() for impact in vector.values())
    for query in queries:
        assert ranked(documents, in_words(query, words)) == ours(folder, query)


def test_an_anserini_query_repeats_its_terms(words: Vocabulary) -> None:
    query = LexiconVector(np.array([5, 6], np.int32), np.array([0.02, 1.0], np.float32))
    assert anserini_query(query, words).split() == ["."] * 2 + ["2000"] * 100


def nine_significant_bits(weight: float) -> float:
    """How Lucene's FeatureField keeps a weight: the upper 17 bits of a float32."""
    (bits,) = struct.unpack(">I", struct.pack(">f", weight))
    return struct.unpack(">f", struct.pack(">I", bits >> 15 << 15))[0]


@pytest.mark.parametrize("engine", ["elasticsearch", "opensearch"])
def test_bulk_files(folder: Path, queries: list, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexlip.exchange.elastic.BULK_BYTES", 5_000)
    export = export_bulk(folder, tmp_path / "out", engine, "photos")
    assert export.documents == DOCUMENTS - 1
    assert len(export.files) > 2
    assert all(file.stat().st_size < 6_000 for file in export.files)
    assert all(file.read_bytes().endswith(b"\n") for file in export.files)  # as _bulk demands
    lines = read_lines(*export.files)
    documents = {}
    for action, source in zip(lines[::2], lines[1::2], strict=True):
        assert action["index"]["_index"] == "photos"
        assert source.keys() == {"captions", "lexicon"}  # bytes cannot travel in JSON
        documents[action["index"]["_id"]] = {
            name: nine_significant_bits(weight) for name, weight in source["lexicon"].items()
        }
        assert documents[action["index"]["_id"]] == source["lexicon"]  # nothing is lost
        assert all("." not in name for name in source["lexicon"])
    mapping = json.loads((tmp_path / "out" / "mapping.json").read_text())["mappings"]["properties"]["lexicon"]["type"]
    assert mapping == {"elasticsearch": "sparse_vector", "opensearch": "rank_features"}[engine]
    for query in queries:
        if engine == "elasticsearch":
            body = elasticsearch_query(query, K)
            asked = body["query"]["sparse_vector"]["query_vector"]
        else:
            body = opensearch_query(query, K)
            asked = body["query"]["neural_sparse"]["lexicon"]["query_tokens"]
        assert body["size"] == K
        assert ranked(documents, asked) == ours(folder, query)


def test_qdrant_points(folder: Path, queries: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexlip.exchange.qdrant.POINTS_A_FILE", 40)
    assert export_qdrant(folder, tmp_path / "out") == DOCUMENTS - 1
    files = sorted((tmp_path / "out").glob("points-*.json"))
    points = [point for file in files for point in json.loads(file.read_text())["points"]]
    assert [len(json.loads(file.read_text())["points"]) for file in files] == [40, 40, 40, 29]
    assert json.loads((tmp_path / "out" / "collection.json").read_text()) == {"sparse_vectors": {"lexicon": {}}}
    documents = {}
    for point in points:
        sparse = point["vector"]["lexicon"]
        assert point["id"] == point_id(point["payload"]["id"])
        documents[point["payload"]["id"]] = dict(zip(sparse["indices"], sparse["values"], strict=True))
    assert len({point["id"] for point in points}) == len(points)
    for query in queries:
        asked = qdrant_query(query, K)["query"]
        assert ranked(documents, dict(zip(asked["indices"], asked["values"], strict=True))) == ours(folder, query)


def test_a_scipy_matrix(folder: Path, queries: list, tmp_path: Path) -> None:
    assert export_csr(folder, tmp_path / "out") == DOCUMENTS - 1
    matrix = scipy.sparse.load_npz(tmp_path / "out" / "documents.npz")
    ids = [json.loads(line) for line in (tmp_path / "out" / "ids.jsonl").read_text().splitlines()]
    assert matrix.shape == (len(ids), TERMS)
    index = Index.open(folder)
    for row in (0, 99, 148):
        vector = index.vector(index.position_of(ids[row]))
        np.testing.assert_allclose(matrix[[row]].toarray()[0, vector.terms], vector.weights, rtol=1e-6)
    for query in queries:
        asked = np.zeros(TERMS)
        asked[query.terms] = query.weights
        scores = np.round(matrix @ asked, 9)
        order = np.argsort(-scores, kind="stable")[:K]
        assert [ids[row] for row in order if scores[row] > 0] == ours(folder, query)


def test_seismic_itself_finds_the_same(folder: Path, words: Vocabulary, queries: list, tmp_path: Path) -> None:
    seismic = pytest.importorskip("seismic", reason="pyseismic-lsr is not installed (extra `bench`)")
    export_seismic(folder, tmp_path / "out", words)
    index = seismic.SeismicIndex.build(str(tmp_path / "out" / "documents.jsonl"))
    for query in queries[:5]:
        asked = in_words(query, words)
        names = np.array(list(asked), dtype=seismic.get_seismic_string())
        found = index.search(
            query_id="q",
            query_components=names,
            query_values=np.array(list(asked.values()), np.float32),
            k=K,
            query_cut=20,
            heap_factor=0.0,
        )
        assert {name for _, _, name in found[:5]} <= set(ours(folder, query))


def test_what_anserini_reads_we_read_back(folder: Path, words: Vocabulary, queries: list, tmp_path: Path) -> None:
    export_anserini(folder, tmp_path / "out", words)
    whole = b"".join(file.read_bytes() for file in sorted((tmp_path / "out").glob("*.jsonl")))
    (tmp_path / "all.jsonl").write_bytes(whole)
    assert import_vectors(str(tmp_path / "all.jsonl"), tmp_path / "vectors.parquet", words) == DOCUMENTS - 1
    settings = BuildSettings(maximum_weight=255.0)
    entry = build_shard([tmp_path / "vectors.parquet"], tmp_path / "index", 0, settings, vocabulary_terms=TERMS)
    publish(
        tmp_path / "index",
        [entry],
        vocabulary_fingerprint=words.fingerprint,
        model_fingerprint="imported",
        settings=settings,
        vocabulary_terms=TERMS,
    )
    for query in queries:
        assert ours(tmp_path / "index", query) == ours(folder, query)
    assert Index.open(tmp_path / "index").stored([0])[0]["captions"] == ['a "caption" 0']


def test_terms_may_be_imported_by_id(words: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"_id": 9, "vector": {"17": 0.5, "6": 2, "8": 0}}\n\n')
    import_vectors(str(tmp_path / "a.jsonl"), tmp_path / "ids.parquet", words, terms_are="ids")
    (row,) = pq.read_table(tmp_path / "ids.parquet").to_pylist()
    assert row == {"id": "9", "terms": [6, 17], "weights": [2.0, 0.5], "captions": []}
    (tmp_path / "b.jsonl").write_text('{"docid": "x", "vector": {"17": 0.5, "2000": 2}, "text": "t"}\n')
    import_vectors(str(tmp_path / "b.jsonl"), tmp_path / "words.parquet", words)
    (row,) = pq.read_table(tmp_path / "words.parquet").to_pylist()
    assert row == {"id": "x", "terms": [6, 7], "weights": [2.0, 0.5], "captions": ["t"]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: no JSON"),
        ("[]", "line 2: no object with a 'vector'"),
        ('{"vector": {}}', "line 2: no id, _id or docid"),
        ('{"id": 1, "vector": {"elephant": 1}}', "line 2: 'elephant' is not among the words of the vocabulary"),
        ('{"id": 1, "vector": {"17": -1}}', "line 2: the weight of '17' is -1"),
        ('{"id": 1, "vector": {"17": NaN}}', "line 2: the weight of '17' is nan"),
    ],
)
def test_lines_that_cannot_be_imported_are_named(words: Vocabulary, tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 0, "vector": {"17": 1}}\n' + line + "\n")
    with pytest.raises(DataError, match=reason):
        import_vectors(str(tmp_path / "a.jsonl"), tmp_path / "out.parquet", words)
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_nothing_is_written_over(folder: Path, words: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for export in (lambda: export_csr(folder, tmp_path), lambda: export_anserini(folder, tmp_path, words)):
        with pytest.raises(DataError, match="not an empty folder"):
            export()
    assert (tmp_path / "mine").read_text() == "precious"
