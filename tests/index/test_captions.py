"""Captions beside the lexicon: BM25 as another engine computes it, one exact top k for both, and every part told."""

from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.errors import DataError, IndexFormatError, QueryError, VocabularyError
from lexlip.index import (
    BuildSettings,
    CaptionIndexing,
    Index,
    add_documents,
    build_shard,
    delete_documents,
    fuse,
    measure_captions,
    merge_shards,
    publish,
    said_pieces,
    verify_index,
)
from lexlip.index.contents import read_contents
from lexlip.index.health import measure_health
from lexlip.index.query import LARGEST_QUERY
from lexlip.tables import LexiconVector
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

PLAIN = [
    *("a", "the", "two", "red", "green", "blue", "dog", "cat", "boat", "sea"),
    *("car", "tree", "house", "man", "runs", "on", "in"),
]
WORDS = [*PLAIN, "skate", "##board", "##er"]
SPOKEN = [*PLAIN, "skateboard", "skateboarder"]
VOCABULARY = Vocabulary((*SPECIAL_TERMS, *WORDS))
TERMS = len(VOCABULARY)
DOCUMENTS = 400
QUESTIONS = ["a red dog", "the skateboarder runs in the sea", "two boats", "house"]
SETTINGS = BuildSettings(maximum_weight=1.0)
NOTHING = LexiconVector(np.empty(0, np.int32), np.empty(0, np.float32))


def write(path: Path, documents: int, seed: int, prefix: str = "photo") -> pa.Table:
    """Documents with random unit-length lexicon vectors and up to five captions; every tenth has none."""
    random = np.random.default_rng(seed)
    captions: list[list[str | None] | None] = []
    for number in range(documents):
        texts = [" ".join(random.choice(SPOKEN, random.integers(1, 9))) for _ in range(random.integers(1, 6))]
        captions.append(None if number % 10 == 9 else [*texts, None, ""])
    terms = [np.sort(random.choice(np.arange(5, TERMS), 6, replace=False)) for _ in range(documents)]
    weights = [random.random(6) + 0.05 for _ in range(documents)]
    table = pa.table(
        {
            "id": [f"{prefix}-{number}" for number in range(documents)],
            "terms": pa.array(terms, pa.list_(pa.int32())),
            "weights": pa.array([own / np.linalg.norm(own) for own in weights], pa.list_(pa.float32())),
            "captions": pa.array(captions, pa.list_(pa.string())),
        }
    )
    pq.write_table(table, path)
    return table


def build(folder: Path, files: Sequence[Path], settings: BuildSettings = SETTINGS) -> Path:
    """One shard a file."""
    field = measure_captions(files, VOCABULARY).field(VOCABULARY, settings.maximum_weight)
    indexing = CaptionIndexing(field, VOCABULARY)
    entries = [
        build_shard([file], folder, shard, settings, vocabulary_terms=TERMS, captions=indexing)
        for shard, file in enumerate(files)
    ]
    publish(
        folder,
        entries,
        vocabulary_fingerprint=VOCABULARY.fingerprint,
        model_fingerprint="model",
        settings=settings,
        vocabulary_terms=TERMS,
        captions=field,
    )
    return folder


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    """The documents of `folder`."""
    return write(tmp_path / "all.parquet", DOCUMENTS, seed=0)


@pytest.fixture
def folder(tmp_path: Path, table: pa.Table) -> Path:
    """An index of two shards."""
    files = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    pq.write_table(table.slice(0, 150), files[0])
    pq.write_table(table.slice(150), files[1])
    return build(tmp_path / "index", files)


def lexicon_query(seed: int, size: int = 5) -> LexiconVector:
    random = np.random.default_rng(seed)
    terms = np.sort(random.choice(np.arange(5, TERMS), size, replace=False)).astype(np.int32)
    return LexiconVector(terms, (random.random(size) + 0.1).astype(np.float32))


def fused_queries(index: Index, shares: Sequence[float] = (0.1, 0.5, 1.0)) -> list[LexiconVector]:
    return [
        fuse(lexicon_query(seed), said_pieces(VOCABULARY, question), index.captions, share)
        for seed, question in enumerate(QUESTIONS)
        for share in shares
    ]


def assert_exact(index: Index, brute_force) -> None:
    for query in fused_queries(index):
        hits = index.search(query.terms, query.weights, 25)
        positions, scores = brute_force(index, query.terms, query.weights, 25)
        np.testing.assert_array_equal(hits.positions, positions)
        np.testing.assert_array_equal(hits.scores, scores)


def test_captions_alone_score_as_bm25_does_elsewhere(folder: Path, table: pa.Table) -> None:
    index = Index.open(folder)
    field = index.manifest.captions
    texts = [row or [] for row in table["captions"].to_pylist()]
    described = [number for number, row in enumerate(texts) if row]
    pieces = [[str(piece) for own in VOCABULARY.cut([text or "" for text in row]) for piece in own] for row in texts]
    engine = bm25s.BM25(method="lucene", k1=field.k1, b=field.b)
    engine.index([pieces[number] for number in described], show_progress=False)
    for question in QUESTIONS:
        said = said_pieces(VOCABULARY, question)
        query = fuse(lexicon_query(0), said, index.captions, 1.0)
        asked = [str(piece) for piece in VOCABULARY.cut([question])[0]]
        scores = np.zeros(DOCUMENTS)
        scores[described] = engine.get_scores(asked)
        most = float((said.weights * index.captions.idf(said.terms)).sum())
        # An impact is off by half a unit at most, and so are the parts of a score.
        error = query.weights.sum() * index._shards[0].postings.step / 2 + 1e-5
        found = np.zeros(DOCUMENTS)
        hits = index.search(query.terms, query.weights, DOCUMENTS)
        found[hits.positions] = hits.scores
        np.testing.assert_allclose(found, scores / most, atol=error)


def test_the_best_of_both_fields_are_exact(folder: Path, brute_force) -> None:
    assert_exact(Index.open(folder), brute_force)


def test_a_score_is_the_sum_of_its_fields_and_each_is_told(folder: Path) -> None:
    index = Index.open(folder)
    lexicon, said = lexicon_query(3), said_pieces(VOCABULARY, "a red dog")
    unit = LexiconVector(lexicon.terms, lexicon.weights / np.linalg.norm(lexicon.weights))
    query = fuse(lexicon, said, index.captions, 0.4)
    captions = fuse(lexicon, said, index.captions, 1.0)
    hits = index.search(query.terms, query.weights, 10)
    for position, score in zip(hits.positions.tolist(), hits.scores.tolist(), strict=True):
        parts = index.contributions(position, query.terms, query.weights)
        in_captions = query.terms >= index.manifest.captions.first_term
        assert parts.sum() == pytest.approx(score, rel=1e-5)
        own = index.contributions(position, unit.terms, unit.weights).sum()
        assert parts[~in_captions].sum() == pytest.approx(0.6 * own, rel=1e-5)
        bm25 = index.contributions(position, captions.terms, captions.weights).sum()
        assert parts[in_captions].sum() == pytest.approx(0.4 * bm25, rel=1e-5)


def test_answers_do_not_depend_on_how_documents_are_dealt_to_shards(
    folder: Path, tmp_path: Path, table: pa.Table
) -> None:
    whole, split = Index.open(build(tmp_path / "whole", [tmp_path / "all.parquet"])), Index.open(folder)
    np.testing.assert_array_equal(whole.captions.frequencies, split.captions.frequencies)
    assert whole.captions.documents == split.captions.documents == DOCUMENTS * 9 // 10
    for query in fused_queries(whole):
        left, right = (index.search(query.terms, query.weights, 30) for index in (whole, split))
        np.testing.assert_array_equal(left.positions, right.positions)
        np.testing.assert_array_equal(left.scores, right.scores)


def test_adding_deleting_and_merging_keep_both_fields(folder: Path, tmp_path: Path, brute_force) -> None:
    new = tmp_path / "new.parquet"
    write(new, 60, seed=5, prefix="fresh")
    with pytest.raises(DataError, match="has captions; give add_documents the vocabulary"):
        add_documents(folder, [new])
    with pytest.raises(VocabularyError):
        add_documents(folder, [new], vocabulary=Vocabulary((*VOCABULARY.terms, "more")))
    add_documents(folder, [new], vocabulary=VOCABULARY)
    assert Index.open(folder).captions.documents == (DOCUMENTS + 60) * 9 // 10
    assert_exact(Index.open(folder), brute_force)
    delete_documents(folder, [f"photo-{number}" for number in range(0, DOCUMENTS, 3)])
    before = Index.open(folder)
    assert_exact(before, brute_force)
    merge_shards(folder)
    after = Index.open(folder)
    assert_exact(after, brute_force)
    assert after.captions.documents < before.captions.documents, "deleted documents count until shards are merged"
    for query in fused_queries(before):
        found = [index.search(query.terms, query.weights, 30) for index in (before, after)]
        names = [
            [row["id"] for row in index.stored(hits.positions)]
            for index, hits in zip((before, after), found, strict=True)
        ]
        assert names[0] == names[1]
        np.testing.assert_array_equal(found[0].scores, found[1].scores)
    assert verify_index(folder) == []


def test_the_lexicon_of_a_document_is_read_without_its_captions(folder: Path, table: pa.Table) -> None:
    index = Index.open(folder)
    for position in (0, 9, DOCUMENTS - 1):
        np.testing.assert_array_equal(index.vector(position).terms, table["terms"][position].as_py())
    assert measure_health(folder).postings == 6 * DOCUMENTS
    documents = [document for contents in read_contents(folder) for document in contents.documents()]
    assert [document.terms.tolist() for document in documents] == table["terms"].to_pylist()


def test_a_share_of_nothing_is_the_lexicon_as_it_is(folder: Path) -> None:
    lexicon, captions = lexicon_query(1), Index.open(folder).captions
    assert fuse(lexicon, said_pieces(VOCABULARY, "a dog"), captions, 0.0) is lexicon
    assert fuse(lexicon, NOTHING, captions, 0.5).terms.tolist() == lexicon.terms.tolist()
    assert len(fuse(lexicon, NOTHING, captions, 1.0)) == 0
    assert fuse(NOTHING, said_pieces(VOCABULARY, "dog"), captions, 0.5).terms.tolist() == [
        TERMS + VOCABULARY.id_of("dog")
    ]
    with pytest.raises(QueryError, match=r"captions is 1\.5"):
        fuse(lexicon, lexicon, captions, 1.5)
    with pytest.raises(QueryError, match="no captions to search in"):
        fuse(lexicon, lexicon, None, 0.5)


def test_a_long_text_loses_its_lightest_words(tmp_path: Path) -> None:
    vocabulary = Vocabulary((*SPECIAL_TERMS, *(f"w{number}" for number in range(600))))
    table = pa.table(
        {
            "id": ["one", "two"],
            "terms": pa.array([[7], [8]], pa.list_(pa.int32())),
            "weights": pa.array([[1.0], [1.0]], pa.list_(pa.float32())),
            "captions": [[" ".join(f"w{number}" for number in range(600))], ["w3"]],
        }
    )
    pq.write_table(table, tmp_path / "vectors.parquet")
    field = measure_captions([tmp_path / "vectors.parquet"], vocabulary).field(vocabulary)
    indexing = CaptionIndexing(field, vocabulary)
    entry = build_shard(
        [tmp_path / "vectors.parquet"], tmp_path / "i", 0, SETTINGS, vocabulary_terms=605, captions=indexing
    )
    publish(
        tmp_path / "i",
        [entry],
        vocabulary_fingerprint=vocabulary.fingerprint,
        model_fingerprint="model",
        settings=SETTINGS,
        vocabulary_terms=605,
        captions=field,
    )
    index = Index.open(tmp_path / "i")
    lexicon = LexiconVector(np.array([7], np.int32), np.ones(1, np.float32))
    query = fuse(lexicon, said_pieces(vocabulary, " ".join(vocabulary.terms[5:])), index.captions, 0.5)
    assert len(query) == LARGEST_QUERY
    assert 605 + vocabulary.id_of("w3") not in query.terms, "both documents say it, so it tells least"
    assert len(index.search(query.terms, query.weights, 2)) == 1


def test_what_cannot_become_captions_is_said_in_words(tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    table = write(file, 20, seed=1)
    pq.write_table(table.drop_columns(["captions"]), tmp_path / "without.parquet")
    with pytest.raises(DataError, match="no column 'captions' among id"):
        measure_captions([tmp_path / "without.parquet"], VOCABULARY)
    numbers = table.set_column(3, "captions", pa.array([3] * 20))
    pq.write_table(numbers, tmp_path / "numbers.parquet")
    with pytest.raises(DataError, match="holds no lists of texts"):
        measure_captions([tmp_path / "numbers.parquet"], VOCABULARY)
    nothing = table.set_column(3, "captions", pa.array([None] * 20, pa.list_(pa.string())))
    pq.write_table(nothing, tmp_path / "nothing.parquet")
    with pytest.raises(DataError, match="no document has captions"):
        measure_captions([tmp_path / "nothing.parquet"], VOCABULARY).field(VOCABULARY)
    bare = build_shard([file], tmp_path / "index", 0, SETTINGS, vocabulary_terms=TERMS)
    field = measure_captions([file], VOCABULARY).field(VOCABULARY)
    with pytest.raises(IndexFormatError, match="all shards of an index have captions, or none has"):
        publish(
            tmp_path / "index",
            [bare],
            vocabulary_fingerprint=VOCABULARY.fingerprint,
            model_fingerprint="model",
            settings=SETTINGS,
            vocabulary_terms=TERMS,
            captions=field,
        )


def test_damaged_counts_are_noticed(folder: Path) -> None:
    file = next(folder.glob("*.captions"))
    content = bytearray(file.read_bytes())
    content[-70] ^= 4
    file.write_bytes(content)
    assert [problem.split(":")[0] for problem in verify_index(folder)] == [str(file)]
    with pytest.raises(IndexFormatError, match="frequencies is damaged"):
        _ = Index.open(folder).captions
