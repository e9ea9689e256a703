"""The command `lexlip` on a real index of a tiny model: what it prints is what the library says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip import command_line
from lexlip.commands.sizing import FULL_MEASUREMENT, MEASURED, Size, bytes_per_posting
from lexlip.index import BuildSettings, Index, build_shard, publish
from lexlip.index.drift import measure_drift
from lexlip.index.health import measure_health
from lexlip.model.query_lookup import QueryLookup
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

REPOSITORY = Path(__file__).parents[2]
PICTURES = 12


@pytest.fixture(scope="module")
def index_folder(tiny_lexlip: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes, encoded by the tiny model and indexed; `vectors.parquet` lies beside the index."""
    from lexlip.model.lexlip import LexLIP

    model = LexLIP.from_pretrained(tiny_lexlip)
    rows = pq.read_table(scenes).slice(0, PICTURES).to_pylist()
    vectors = model.encode_image([row["image"] for row in rows], top_terms=30)
    table = pa.table(
        {
            "id": [row["image_id"] for row in rows],
            "terms": pa.array([vector.terms.tolist() for vector in vectors], pa.list_(pa.int32())),
            "weights": pa.array([vector.weights.tolist() for vector in vectors], pa.list_(pa.float32())),
            "captions": [row["captions"] for row in rows],
        }
    )
    base = tmp_path_factory.mktemp("commands")
    pq.write_table(table, base / "vectors.parquet")
    (base / "scene.jpg").write_bytes(rows[3]["image"])
    terms = len(model.vocabulary)
    entry = build_shard([base / "vectors.parquet"], base / "index", 0, BuildSettings(), vocabulary_terms=terms)
    publish(
        base / "index",
        [entry],
        vocabulary_fingerprint=model.vocabulary.fingerprint,
        model_fingerprint=model.fingerprint,
        settings=BuildSettings(),
        vocabulary_terms=terms,
    )
    return base / "index"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Runs the command; its exit status and the lines it printed."""

    def run_command(*arguments: object) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["lexlip", *map(str, arguments)])
        status = command_line.main()
        printed = capsys.readouterr()
        return status, (printed.out + printed.err).splitlines()

    return run_command


def test_a_picture_finds_itself_and_says_by_which_words(run: Callable, index_folder: Path, tiny_lexlip: Path) -> None:
    index = Index.open(index_folder)
    places = ["--index", index_folder, "--model", tiny_lexlip]
    status, lines = run("search", index_folder.parent / "scene.jpg", "--image", "--k", 5, "--json", *places)
    hits = [json.loads(line) for line in lines]
    assert (status, len(hits)) == (0, 5)
    assert hits[0]["id"] == index.stored([3])[0]["id"]
    assert hits[0]["captions"] == index.stored([3])[0]["captions"]
    for hit in hits:
        assert sum(hit["words"].values()) == pytest.approx(hit["score"], rel=1e-5)
    status, lines = run("search", index_folder.parent / "scene.jpg", "--image", "--k", 1, *places)
    assert lines[0].split("  ")[1] == hits[0]["id"]

    status, lines = run("explain", hits[0]["id"], index_folder.parent / "scene.jpg", "--image", *places)
    assert status == 0
    assert lines[0].startswith(f"score {hits[0]['score']:.4f} = sum")
    explained = {line.split()[2]: float(line.split()[0]) for line in lines[1:-2]}
    assert explained == pytest.approx(hits[0]["words"], abs=1e-4)
    assert lines[-2].startswith("only in the query: ")


def test_words_find_pictures(run: Callable, index_folder: Path, tiny_lexlip: Path) -> None:
    status, lines = run("search", "a red boat", "--index", index_folder, "--model", tiny_lexlip, "--k", 3)
    assert (status, len(lines)) == (0, 3)


def test_words_are_looked_up_without_the_model(
    run: Callable, index_folder: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    weights = np.ones(len(vocabulary), np.float32)
    weights[list(vocabulary.special_ids)] = 0
    QueryLookup(vocabulary, weights).save(tmp_path / "lookup")
    places = ["--index", index_folder, "--lookup", tmp_path / "lookup"]
    status, lines = run("search", "red boat", "--k", 3, "--json", *places)
    assert status == 0
    assert {word for line in lines for word in json.loads(line)["words"]} <= {"red", "boat"}
    status, lines = run("search", "x.jpg", "--image", *places)
    assert (status, len(lines)) == (2, 1)
    assert "a lookup knows words only; give --model to search with a picture" in lines[0]
    status, lines = run("search", "red boat", "--index", index_folder)
    assert (status, len(lines)) == (2, 1)
    assert "give one of --model and --lookup" in lines[0]


def test_captions_have_their_share_and_are_told_apart(
    run: Callable, index_folder: Path, tiny_lexlip: Path, tmp_path: Path
) -> None:
    fingerprint = Index.open(index_folder).manifest.model_fingerprint
    vectors, both = index_folder.parent / "vectors.parquet", tmp_path / "both"
    built = ["--vocabulary", tiny_lexlip, "--model-fingerprint", fingerprint, "--captions"]
    assert run("index", "build", vectors, "--index", both, *built)[0] == 0
    assert any(line.startswith("captions first_term") for line in run("index", "info", both)[1])
    query = ["a red boat", "--captions", "0.5", "--query-terms", "64", "--model", tiny_lexlip]
    status, lines = run("search", *query, "--index", both, "--k", 4, "--json")
    hits = [json.loads(line) for line in lines]
    assert (status, len(hits)) == (0, 4)
    for hit in hits:
        said = [word for word in hit["caption_words"] if word in " ".join(hit["captions"]).lower()]
        assert said
        assert sum(hit["words"].values()) + sum(hit["caption_words"].values()) == pytest.approx(hit["score"], rel=1e-5)
    status, lines = run("explain", hits[0]["id"], *query, "--index", both)
    assert lines[0].startswith(f"score {hits[0]['score']:.4f} = sum")
    quoted = {line.split()[2] for line in lines[1:-2] if line.split()[2].startswith('"')}
    assert quoted == {f'"{word}"' for word in hits[0]["caption_words"]}
    assert run("search", Path(index_folder.parent / "scene.jpg"), "--image", *query[1:], "--index", both)[0] == 0
    status, lines = run("search", *query, "--index", index_folder)
    assert (status, len(lines)) == (2, 1)
    assert "no captions to search in" in lines[0]


def test_another_model_is_refused(
    run: Callable, index_folder: Path, tiny_lexlip: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    status, lines = run("search", "x", "--index", index_folder, "--model", tmp_path)
    assert (status, len(lines)) == (2, 1)
    Vocabulary((*vocabulary.terms, "elephant")).save(tmp_path)
    status, lines = run("inspect", "term", "red", "--index", index_folder, "--vocabulary", tmp_path)
    assert status == 2
    assert "was made with vocabulary" in lines[0]


def test_a_term_and_its_posting_list(
    run: Callable, index_folder: Path, tiny_lexlip: Path, vocabulary: Vocabulary
) -> None:
    index = Index.open(index_folder)
    vectors = [index.vector(position) for position in range(PICTURES)]
    term = int(vectors[0].terms[np.argmax(vectors[0].weights)])
    having = [vector for vector in vectors if term in vector.terms]
    places = ["--index", index_folder, "--vocabulary", tiny_lexlip]
    status, lines = run("inspect", "term", vocabulary.term_of(term), *places)
    assert status == 0
    assert f"(term {term}): in {len(having)} of {PICTURES} documents" in lines[0]
    weights = sorted((float(vector.weights[vector.terms == term][0]) for vector in having), reverse=True)
    assert [float(line.split()[0]) for line in lines[1:]] == pytest.approx(weights[:10], abs=1e-4)
    status, lines = run("inspect", "term", "redboat", *places)
    assert status == 2
    assert "is not one term of the vocabulary; it is made of:" in lines[0]


def test_a_picture_and_its_terms(run: Callable, index_folder: Path, tiny_lexlip: Path, vocabulary: Vocabulary) -> None:
    index = Index.open(index_folder)
    stored, vector = index.stored([5])[0], index.vector(5)
    status, lines = run("inspect", "image", stored["id"], "--index", index_folder, "--vocabulary", tiny_lexlip)
    assert status == 0
    assert lines[: len(stored["captions"])] == [f"caption: {caption}" for caption in stored["captions"]]
    terms = {line.split()[1]: float(line.split()[0]) for line in lines[len(stored["captions"]) :]}
    words = [vocabulary.term_of(int(term)) for term in vector.terms]
    expected = dict(zip(words, vector.weights.tolist(), strict=True))
    assert terms == pytest.approx(expected, abs=1e-4)
    status, lines = run("inspect", "image", "nobody", "--index", index_folder, "--vocabulary", tiny_lexlip)
    assert (status, len(lines)) == (2, 1)
    assert "no document has the id 'nobody'" in lines[0]


def test_the_health_of_a_lexicon(run: Callable, index_folder: Path, tiny_lexlip: Path, vocabulary: Vocabulary) -> None:
    index = Index.open(index_folder)
    counts = np.zeros(len(vocabulary), int)
    for position in range(PICTURES):
        counts[index.vector(position).terms] += 1
    health = measure_health(index_folder)
    np.testing.assert_array_equal(health.list_lengths, counts)
    assert (health.documents, health.empty_documents) == (PICTURES, 0)
    shares = counts[counts > 0] / counts.sum()
    assert health.effective_terms == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    status, lines = run("inspect", "health", index_folder, "--vocabulary", tiny_lexlip, "--hot-share", 0.5)
    assert status == 0
    dead = int((counts[vocabulary.ordinary_ids] == 0).sum())
    assert any(line.startswith(f"dead terms: {dead} of {vocabulary.ordinary_ids.size} ") for line in lines)
    assert f"hot lists, with more than 50% of the documents: {int((counts > PICTURES / 2).sum())}" in lines


def test_drift_between_two_models(run: Callable, index_folder: Path, tiny_lexlip: Path, tmp_path: Path) -> None:
    before = index_folder.parent / "vectors.parquet"
    status, lines = run("inspect", "drift", before, before, "--vocabulary", tiny_lexlip)
    assert status == 0
    assert "cosine similarity: mean 1.000, lowest 1.000" in lines
    assert "terms that gained most weight a picture: none" in lines
    pq.write_table(pq.read_table(before).slice(0, 0), tmp_path / "none.parquet")
    status, lines = run("inspect", "drift", before, tmp_path, "--vocabulary", tiny_lexlip)
    assert status == 2
    assert "no id in common" in lines[0]


def test_drift_is_measured_pair_by_pair() -> None:
    def vector(**weights: float) -> LexiconVector:
        terms = np.array([int(term[1:]) for term in weights], np.int32)
        return LexiconVector(terms, np.array(list(weights.values()), np.float32))

    drift = measure_drift(
        [vector(t1=1.0), vector(t1=0.6, t3=0.8), vector()], [vector(t2=1.0), vector(t3=0.8, t4=0.6), vector()], 5
    )
    assert drift.cosines.tolist() == pytest.approx([0, 0.64, 0])
    assert drift.kept_terms.tolist() == [0, 0.5, 1]
    assert drift.mean_change.tolist() == pytest.approx([0, -1.6 / 3, 1 / 3, 0, 0.6 / 3])


def test_sizes_follow_from_what_was_measured(run: Callable) -> None:
    for measured in MEASURED:
        result = json.loads((REPOSITORY / measured.source).read_text())
        assert measured.bytes_per_document == pytest.approx(result["engines"]["lexlip"]["bytes_per_doc"], rel=1e-4)
        assert measured.terms == pytest.approx(result["terms_per_document"], rel=1e-4)
        assert measured.impact_bits == result["build"]["impact_bits"]
        assert measured.row_share == result["build"]["row_share"]
        assert bytes_per_posting(measured.impact_bits, measured.terms) == pytest.approx(measured.bytes_per_posting)
    assert bytes_per_posting(5, 32) < bytes_per_posting(6, 32) < bytes_per_posting(8, 32)
    sizes = Size(images=1e9, terms=32).sizes()
    assert sizes.postings == pytest.approx(32e9 * bytes_per_posting(8, 32))
    assert (sizes.shards, sizes.dense) == (250, 2.048e12)
    assert sizes.nodes == -(-2 * (sizes.postings + 12e9) // (64e9 * 0.7))
    status, lines = run("size", "--images", "1e9", "--terms", 32)
    assert status == 0
    assert any(FULL_MEASUREMENT in line for line in lines)
    assert run("size", "--images", "1e9", "--shard-images", "1e8")[0] == 2
    assert run("size", "--images", "1e9", "--bits", 4)[0] == 2


def test_an_index_is_exported_imported_and_built(
    run: Callable, index_folder: Path, tiny_lexlip: Path, tmp_path: Path
) -> None:
    status, lines = run("export", index_folder, tmp_path / "a", "--to", "anserini", "--vocabulary", tiny_lexlip)
    assert (status, lines) == (0, [f"{PICTURES} documents -> {tmp_path}/a"])
    vectors = tmp_path / "vectors.parquet"
    status, lines = run("import", tmp_path / "a" / "documents-00000.jsonl", vectors, "--vocabulary", tiny_lexlip)
    assert (status, lines) == (0, [f"{PICTURES} vectors -> {vectors}"])
    status, lines = run("index", "build", vectors, "--index", tmp_path / "i", "--vocabulary", tiny_lexlip)
    assert (status, lines[-1]) == (0, f"{tmp_path}/i: generation 1 with {PICTURES} documents")
    np.testing.assert_array_equal(Index.open(tmp_path / "i").vector(3).terms, Index.open(index_folder).vector(3).terms)
    for engine in ("seismic", "elasticsearch", "opensearch", "qdrant", "csr"):
        out = tmp_path / engine
        assert run("export", index_folder, out, "--to", engine, "--vocabulary", tiny_lexlip)[0] == 0
        assert any(out.iterdir())
    status, lines = run("export", index_folder, tmp_path / "b", "--to", "anserini")
    assert (status, len(lines)) == (2, 1)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["lexlip", "--tyro-print-completion", shell])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code in (0, None)
    script = capsys.readouterr().out
    assert all(command in script for command in command_line.COMMANDS)
