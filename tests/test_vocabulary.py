"""A vocabulary cuts text exactly as BERT does, and is the same everywhere it travels."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.errors import VocabularyError
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
BERT_FOLDER = SHARED_DATA / "weights" / "bert_base_uncased_vocab"
CAPTIONS = [
    "A small brown dog jumps over a fallen log.",
    "two dogs run across the snowy field",
    "A dog's owner throws a red frisbee, and the dog catches it!",
    "Three children are playing in the water at the beach",
    "a child in a blue jacket is sliding down a snowy hill",
] * 2


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.train(CAPTIONS, 160)


def pieces(vocabulary: Vocabulary, text: str, length: int = 40) -> list[str]:
    return [vocabulary.term_of(identifier) for identifier in vocabulary.encode([text], length).token_ids[0]]


def test_a_text_becomes_pieces_between_cls_and_sep() -> None:
    vocabulary = Vocabulary((*SPECIAL_TERMS, "snow", "##board", "##er", "a", "cafe", "!"))
    batch = vocabulary.encode(["A snowboarder!", ""], 8)
    assert pieces(vocabulary, "A snowboarder!", 8) == ["[CLS]", "a", "snow", "##board", "##er", "!", "[SEP]", "[PAD]"]
    assert batch.word_index[0].tolist() == [-1, 0, 1, 1, 1, 2, -1, -1]
    assert pieces(vocabulary, "", 4) == ["[CLS]", "[SEP]", "[PAD]", "[PAD]"]
    assert (batch.token_ids.dtype, batch.word_index.dtype) == (np.int32, np.int16)
    assert pieces(vocabulary, "Café", 4) == ["[CLS]", "cafe", "[SEP]", "[PAD]"], "accents and case do not count"
    assert vocabulary.words_of("A Snowboarder zebra") == [("a", (8,)), ("snowboarder", (5, 6, 7)), ("zebra", (1,))]


def test_truncation_keeps_cls_and_sep(vocabulary: Vocabulary) -> None:
    whole, cut = (vocabulary.encode([CAPTIONS[0]], length) for length in (40, 6))
    assert cut.token_ids[0, :5].tolist() == whole.token_ids[0, :5].tolist()
    assert cut.token_ids[0, 5] == vocabulary.sep_id
    assert cut.word_index[0, 5] == -1
    with pytest.raises(VocabularyError, match="no room"):
        vocabulary.encode(["a"], 1)


def test_special_terms_cannot_be_typed_into_a_text(vocabulary: Vocabulary) -> None:
    assert vocabulary.mask_id not in vocabulary.encode(["a [MASK] dog [SEP]"], 20).token_ids[0, 1:6]


def test_no_texts_give_an_empty_batch(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode([], 7).token_ids.shape == (0, 7)


def test_training_is_repeatable_across_processes(vocabulary: Vocabulary) -> None:
    program = f"from lexlip.vocabulary import Vocabulary; print(Vocabulary.train({CAPTIONS!r}, 160).fingerprint)"
    for _ in range(2):
        printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert printed.strip() == vocabulary.fingerprint
    assert "dog" in vocabulary.terms
    assert len(vocabulary) <= 160


def test_training_refuses_what_cannot_work() -> None:
    with pytest.raises(VocabularyError, match="no captions"):
        Vocabulary.train(["", " "], 100)
    with pytest.raises(VocabularyError, match="too small"):
        Vocabulary.train(CAPTIONS, 20)


def test_restriction_cuts_its_captions_like_the_whole_and_never_loses_a_character(vocabulary: Vocabulary) -> None:
    small = vocabulary.restrict(CAPTIONS[:2])
    assert len(small) < len(vocabulary)
    assert set(SPECIAL_TERMS) < set(small.terms)
    positions = [vocabulary.terms.index(term) for term in small.terms]
    assert positions == sorted(positions), "relative order is kept"
    for caption in CAPTIONS[:2]:
        assert pieces(small, caption) == pieces(vocabulary, caption)
    for caption in CAPTIONS:
        assert small.unknown_id not in small.encode([caption], 80).token_ids


def test_saved_loaded_and_pickled_vocabularies_are_equal(vocabulary: Vocabulary, tmp_path: Path) -> None:
    cased = Vocabulary(vocabulary.terms, lowercase=False)
    for each in (vocabulary, cased):
        each.save(tmp_path)
        loaded, travelled = Vocabulary.load(tmp_path), pickle.loads(pickle.dumps(each))
        assert loaded == each == travelled
        assert loaded.fingerprint == each.fingerprint == travelled.fingerprint
        assert pieces(travelled, CAPTIONS[2]) == pieces(each, CAPTIONS[2])
    assert cased != vocabulary
    assert cased.fingerprint != vocabulary.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer_config.json", "vocab.txt"]


def test_terms_that_look_like_line_ends_survive_a_file(tmp_path: Path) -> None:
    vocabulary = Vocabulary((*SPECIAL_TERMS, "\x85", "\u2028", "a"))
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path) == vocabulary


def test_another_vocabulary_is_refused_by_name(vocabulary: Vocabulary) -> None:
    vocabulary.require_same(vocabulary.fingerprint, "the index out/index")
    other = vocabulary.restrict(CAPTIONS[:1])
    with pytest.raises(VocabularyError, match=f"index out/index.*{other.fingerprint}.*{vocabulary.fingerprint}"):
        vocabulary.require_same(other.fingerprint, "the index out/index")


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"vocab\.txt not found"):
        Vocabulary.load(tmp_path / "nowhere")
    for content, reason in (
        ("a\nb\n", "lacks"),
        ("\n".join((*SPECIAL_TERMS, "a", "a")) + "\n", "more than once"),
        ("\n".join((*SPECIAL_TERMS, "", "a")) + "\n", "empty"),
        ("", "lacks"),
    ):
        (tmp_path / "vocab.txt").write_text(content)
        with pytest.raises(VocabularyError, match=reason):
            Vocabulary.load(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VocabularyError, match="not a readable"):
        Vocabulary.load(tmp_path)


def test_ids_outside_are_refused(vocabulary: Vocabulary) -> None:
    assert vocabulary.id_of("no such term") is None
    with pytest.raises(VocabularyError, match="outside"):
        vocabulary.term_of(len(vocabulary))
    with pytest.raises(VocabularyError, match="outside"):
        vocabulary.term_of(-1)


@given(st.lists(st.text(max_size=60), max_size=5), st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_any_text_gives_a_well_formed_row(texts: list[str], length: int) -> None:
    vocabulary = Vocabulary((*SPECIAL_TERMS, *"abc", "##a", "##b", "##c", "abc"))
    batch = vocabulary.encode(texts, length)
    for text, ids, words in zip(texts, batch.token_ids, batch.word_index, strict=True):
        end = int(np.argmax(ids == vocabulary.sep_id))
        assert ids[0] == vocabulary.cls_id
        assert end >= 1
        assert (ids[end + 1 :] == vocabulary.pad_id).all()
        assert (words[1:end] >= 0).all()
        assert (np.diff(words[1:end]) >= 0).all()
        assert (words[end:] == -1).all()
        told = [identifier for _, word in vocabulary.words_of(text) for identifier in word]
        assert ids[1:end].tolist() == told[: length - 2]


@pytest.mark.shared_data
@pytest.mark.skipif(not BERT_FOLDER.is_dir(), reason="needs the bert-base-uncased vocabulary in ../shared/data")
def test_real_captions_are_cut_as_transformers_does() -> None:
    from transformers import BertTokenizer

    vocabulary = Vocabulary.load(BERT_FOLDER)
    table = pq.read_table(SHARED_DATA / "text" / "multi30k_extra_test_captions.parquet")
    column = next(name for name in table.schema.names if "caption" in name)
    captions = [caption for row in table[column].to_pylist() for caption in ([row] if isinstance(row, str) else row)]
    captions = [*captions[:1500], "Ünïcödé ½ 東京 tower's “quoted” text…", "x" * 120, "tab\tand\u00a0space\u200b"]
    theirs = BertTokenizer.from_pretrained(BERT_FOLDER)(
        captions, padding="max_length", truncation=True, max_length=24, return_tensors="np"
    )["input_ids"]
    np.testing.assert_array_equal(vocabulary.encode(captions, 24).token_ids, theirs)
    restricted = vocabulary.restrict(captions)
    ids = restricted.encode(captions, 24).token_ids
    assert [vocabulary.id_of(restricted.terms[identifier]) for identifier in ids.ravel()] == theirs.ravel().tolist()
