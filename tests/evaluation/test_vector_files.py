"""Vectors read back from Parquet are those that were written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.errors import DataError
from lexlip.evaluation.lexicon import readable_terms, top_terms_in_captions
from lexlip.evaluation.vector_files import read_dense_vectors, read_lexicon_vectors
from lexlip.little_words import little_terms
from lexlip.tables import DENSE_VECTOR_SCHEMA, LEXICON_VECTOR_SCHEMA, LexiconVector
from lexlip.vocabulary import Vocabulary


def test_lexicon_vectors_survive_several_files_and_row_groups(tmp_path: Path) -> None:
    rows = [([1, 5], [0.5, 0.25]), ([], []), ([2], [1.0]), ([0, 1, 9], [0.1, 0.2, 0.3])]
    files = []
    for number, part in enumerate((rows[:3], rows[3:])):
        terms, weights = zip(*part, strict=True)
        ids = [f"{number}-{row}" for row in range(len(part))]
        table = pa.table({"id": ids, "terms": terms, "weights": weights}).cast(LEXICON_VECTOR_SCHEMA)
        files.append(tmp_path / f"part-{number}.parquet")
        pq.write_table(table, files[-1], row_group_size=2)
    ids, vectors = read_lexicon_vectors(files)
    assert ids == ["0-0", "0-1", "0-2", "1-0"]
    assert [vector.terms.tolist() for vector in vectors] == [terms for terms, _ in rows]
    for vector, (_, weights) in zip(vectors, rows, strict=True):
        np.testing.assert_array_equal(vector.weights, np.array(weights, np.float32))


def test_dense_vectors_survive(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    table = pa.table({"id": list("abcde"), "vector": vectors.tolist()}).cast(DENSE_VECTOR_SCHEMA)
    pq.write_table(table, tmp_path / "part.parquet", row_group_size=2)
    ids, read = read_dense_vectors([tmp_path / "part.parquet"])
    assert ids == list("abcde")
    np.testing.assert_array_equal(read, vectors)


def test_a_file_with_other_columns_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: column\(s\) terms, weights missing"):
        read_lexicon_vectors([tmp_path / "other.parquet"])


def test_share_of_top_terms_that_occur_in_the_captions() -> None:
    vocabulary = Vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat", "red", "tree"))
    weights = np.array([0.9, 0.8, 0.1], np.float32)
    vector = LexiconVector(np.array([5, 6, 7], np.int32), weights)
    # Of the two heaviest terms, dog and cat, the captions have only dog.
    assert top_terms_in_captions([vector, vector], [["A dog.", "a red dog"], []], vocabulary, count=2) == 50.0
    assert readable_terms(vector, ["A dog.", "a red dog"], vocabulary) == "DOG cat RED"


def test_little_words_can_be_passed_over() -> None:
    vocabulary = Vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", ".", "dog", "cat"))
    little = little_terms(vocabulary)
    assert {vocabulary.term_of(term) for term in little if not vocabulary.term_of(term).startswith("[")} == {"the", "."}
    vector = LexiconVector(np.array([5, 6, 7, 8], np.int32), np.array([0.9, 0.8, 0.2, 0.1], np.float32))
    said = [["The dog."]]
    assert top_terms_in_captions([vector], said, vocabulary, count=2) == 100.0
    assert top_terms_in_captions([vector], said, vocabulary, count=2, left_out=little) == 50.0
