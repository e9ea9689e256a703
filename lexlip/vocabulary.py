"""Terms and their ids: a WordPiece vocabulary with BERT's text normalisation (uses `tokenizers`, never torch).

A vocabulary is the coordinate system of every lexicon vector, so its fingerprint travels with models and indexes, and
two artefacts with different fingerprints refuse to meet. On disk it is a folder with `vocab.txt` (one term a line,
line number = id) and `tokenizer_config.json`, as for bert-base-uncased; transformers' BertTokenizer reads it too.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from lexlip.errors import VocabularyError

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_TERMS = (PAD, UNKNOWN, CLS, SEP, MASK)
CONTINUATION = "##"  # marks a piece that continues a word
LONGEST_WORD = 100  # characters; BERT reads longer words as [UNK]
LARGEST_ALPHABET = (
    1000  # characters given a term of their own when training; rarer ones become [UNK], as in `tokenizers`
)
TEXTS_PER_CALL = 8192  # texts tokenised at once while restricting or training: bounds memory, keeps both cores busy
VOCABULARY_FILE, CONFIG_FILE = "vocab.txt", "tokenizer_config.json"


@dataclass(frozen=True)
class TokenBatch:
    """Tokenised texts of one length.

    Attributes:
        token_ids: [N, length] int32: [CLS], pieces, [SEP], then [PAD].
        word_index: [N, length] int16: which word of its text a piece belongs to; -1 on special tokens and padding.
    """

    token_ids: np.ndarray
    word_index: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """An immutable list of terms with BERT's way of cutting text into them; picklable, compared by value.

    Special tokens written out in a text ("[MASK]") are cut like any other text: a caption or query cannot inject one.

    Attributes:
        terms: id -> term, pieces that continue a word ("##ing") included.
        lowercase: text is lower-cased and stripped of accents, as by bert-base-uncased.
        fingerprint: 16 hexadecimal digits of a SHA-256 over terms and normalisation.
        pad_id, unknown_id, cls_id, sep_id, mask_id: the special terms' ids.
        special_ids: these five.
        ordinary_ids: all others, int32, ascending, read-only.
    """

    terms: tuple[str, ...]
    lowercase: bool = True
    fingerprint: str = field(init=False, compare=False)
    pad_id: int = field(init=False, repr=False, compare=False)
    unknown_id: int = field(init=False, repr=False, compare=False)
    cls_id: int = field(init=False, repr=False, compare=False)
    sep_id: int = field(init=False, repr=False, compare=False)
    mask_id: int = field(init=False, repr=False, compare=False)
    special_ids: frozenset[int] = field(init=False, repr=False, compare=False)
    ordinary_ids: np.ndarray = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _tokenizer: Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {term: identifier for identifier, term in enumerate(self.terms)}
        missing = [term for term in SPECIAL_TERMS if term not in ids]
        if missing:
            raise VocabularyError(f"a vocabulary needs the special terms {', '.join(missing)}, which this one lacks")
        if len(ids) < len(self.terms):
            twice = next(term for term, count in Counter(self.terms).items() if count > 1)
            raise VocabularyError(f"the term {twice!r} appears more than once in the vocabulary")
        if any(not term or "\n" in term or "\r" in term for term in self.terms):
            raise VocabularyError("a term of the vocabulary is empty or contains a line break")
        tokenizer = _tokenizer(
            models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD), self.lowercase
        )
        ordinary_ids = np.array([ids[term] for term in self.terms if term not in SPECIAL_TERMS], dtype=np.int32)
        ordinary_ids.flags.writeable = False
        derived: dict[str, object] = {
            "fingerprint": _fingerprint(self.terms, self.lowercase),
            "special_ids": frozenset(ids[term] for term in SPECIAL_TERMS),
            "ordinary_ids": ordinary_ids,
            "_ids": ids,
            "_tokenizer": tokenizer,
        }
        names = ("pad_id", "unknown_id", "cls_id", "sep_id", "mask_id")
        derived.update({name: ids[term] for name, term in zip(names, SPECIAL_TERMS, strict=True)})
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple:
        return Vocabulary, (self.terms, self.lowercase)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.terms):,} terms, lowercase={self.lowercase}, fingerprint={self.fingerprint})"

    def __len__(self) -> int:
        return len(self.terms)

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """Reads `vocab.txt` and, where present, `do_lower_case` of `tokenizer_config.json` (true by default).

        Raises:
            VocabularyError: the folder or file is missing, is not UTF-8, lacks a special term or repeats a term.
        """
        file = Path(folder) / VOCABULARY_FILE
        config_file = Path(folder) / CONFIG_FILE
        if not file.is_file():
            raise VocabularyError(f"{file} not found: give a folder with a {VOCABULARY_FILE}, one term a line")
        try:
            # Only "\n" separates terms: some terms are characters that str.splitlines would take for line ends.
            terms = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
        except ValueError as error:
            raise VocabularyError(f"{folder}: not a readable vocabulary ({error})") from error
        try:
            return cls(tuple(terms), lowercase=bool(config.get("do_lower_case", True)))
        except VocabularyError as error:
            raise VocabularyError(f"{file}: {error}") from error

    @classmethod
    def train(cls, captions: Iterable[str], size: int, *, lowercase: bool = True, least_count: int = 2) -> "Vocabulary":
        """A WordPiece vocabulary of at most `size` terms from captions; the same captions give the same vocabulary.

        Args:
            captions: the texts; read once.
            size: most terms, special terms and characters included.
            lowercase: as in the class.
            least_count: a piece seen less often gets no term.

        Raises:
            VocabularyError: there is no text, or `size` does not hold the characters of these captions.
        """
        texts = list(captions)
        tokenizer = _tokenizer(models.WordPiece({UNKNOWN: 0}, unk_token=UNKNOWN), lowercase)
        starts, continuations = _alphabet(tokenizer, texts)
        # The trainer numbers characters in the order of a randomly seeded hash map and breaks ties by these numbers.
        # Listing all of them as special terms fixes the numbers, and with them the vocabulary.
        fixed = [*SPECIAL_TERMS, *sorted(starts), *sorted(CONTINUATION + character for character in continuations)]
        if not starts:
            raise VocabularyError("no captions to train a vocabulary from")
        if len(fixed) > size:
            raise VocabularyError(
                f"size {size} is too small: special terms and characters alone are {len(fixed)} terms"
            )
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=least_count, special_tokens=fixed, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        ids = tokenizer.get_vocab()
        return cls(tuple(sorted(ids, key=ids.__getitem__)), lowercase=lowercase)

    def restrict(self, captions: Iterable[str]) -> "Vocabulary":
        """The part of this vocabulary that cuts these captions exactly as the whole does, in the same relative order.

        Kept are the special terms, every piece the captions use, and all single characters with their `##` forms, so
        that other words fall into pieces rather than becoming unknown.
        """
        kept = set(self.special_ids)
        kept.update(
            identifier for identifier, term in enumerate(self.terms) if len(term.removeprefix(CONTINUATION)) == 1
        )
        for texts in _in_groups(captions, TEXTS_PER_CALL):
            for encoding in self._tokenizer.encode_batch_fast(texts):
                kept.update(encoding.ids)
        return Vocabulary(tuple(self.terms[identifier] for identifier in sorted(kept)), lowercase=self.lowercase)

    def save(self, folder: str | Path) -> None:
        """Writes `vocab.txt` and `tokenizer_config.json`, each published by rename."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"do_lower_case": self.lowercase, "tokenizer_class": "BertTokenizer"}
        for name, text in ((CONFIG_FILE, json.dumps(config) + "\n"), (VOCABULARY_FILE, "\n".join(self.terms) + "\n")):
            temporary = folder / f"{name}.tmp-{os.getpid()}"
            temporary.write_text(text, encoding="utf-8", newline="\n")
            temporary.replace(folder / name)

    def id_of(self, term: str) -> int | None:
        """The id of a term, None when the vocabulary lacks it."""
        return self._ids.get(term)

    def term_of(self, identifier: int) -> str:
        """The term of an id.

        Raises:
            VocabularyError: the id lies outside of the vocabulary.
        """
        if not 0 <= identifier < len(self.terms):
            raise VocabularyError(f"term id {identifier} lies outside of the vocabulary of {len(self.terms)} terms")
        return self.terms[identifier]

    def encode(self, texts: Sequence[str], length: int) -> TokenBatch:
        """Cuts texts into pieces, all to one length; longer texts are truncated so that [CLS] and [SEP] stay.

        Args:
            texts: N texts; an empty one becomes [CLS] [SEP].
            length: tokens per text, at least 2.
        """
        if length < 2:
            raise VocabularyError(f"length {length} leaves no room for {CLS} and {SEP}")
        token_ids = np.full((len(texts), length), self.pad_id, dtype=np.int32)
        word_index = np.full((len(texts), length), -1, dtype=np.int16)
        token_ids[:, 0] = self.cls_id
        for row, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            pieces = encoding.ids[: length - 2]
            end = len(pieces) + 1
            token_ids[row, 1:end] = pieces
            token_ids[row, end] = self.sep_id
            # Never None here: without special tokens every piece belongs to a word.
            word_index[row, 1:end] = np.array(encoding.word_ids[: length - 2], dtype=np.int16)
        return TokenBatch(token_ids, word_index)

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's pieces, in order and in full length; what cannot be spelled is left out."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [[piece for piece in encoding.ids if piece != self.unknown_id] for encoding in encodings]

    def words_of(self, text: str) -> list[tuple[str, tuple[int, ...]]]:
        """The words of a text as normalised (lower-cased), each with the ids of its pieces, in order."""
        words = _words(self._tokenizer, text)
        encoding = self._tokenizer.encode(text)
        pieces: list[list[int]] = [[] for _ in words]
        for identifier, word in zip(encoding.ids, np.array(encoding.word_ids, dtype=int), strict=True):
            pieces[word].append(identifier)
        return [(word, tuple(identifiers)) for word, identifiers in zip(words, pieces, strict=True)]

    def require_same(self, other_fingerprint: str, what: str) -> None:
        """Raises `VocabularyError` naming both fingerprints when `what` was made with another vocabulary."""
        if other_fingerprint != self.fingerprint:
            raise VocabularyError(
                f"{what} was made with vocabulary {other_fingerprint}, but this vocabulary is {self.fingerprint} "
                f"({len(self.terms):,} terms): use the model and the vocabulary that made it"
            )


def _tokenizer(model: models.WordPiece, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _fingerprint(terms: Sequence[str], lowercase: bool) -> str:
    header = f"wordpiece lowercase={lowercase} longest_word={LONGEST_WORD}\n"
    return hashlib.sha256((header + "\n".join(terms)).encode("utf-8")).hexdigest()[:16]


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    normalised = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalised)]


def _alphabet(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[set[str], set[str]]:
    """The most frequent characters of the texts, and those of them that also continue words."""
    counts: Counter[str] = Counter()
    continuing: set[str] = set()
    for word, count in Counter(word for text in texts for word in _words(tokenizer, text)).items():
        counts.update({character: count * repeats for character, repeats in Counter(word).items()})
        continuing.update(word[1:])
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    characters = set(ranked[:LARGEST_ALPHABET])
    return characters, continuing & characters


def _in_groups(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    group: list[str] = []
    for text in texts:
        group.append(text)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
