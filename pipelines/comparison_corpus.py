"""The corpus of a comparison: right answers, real distractors, then drawn ones, for both models alike.

It lies in a folder of plain arrays, mapped into memory: a million 512-d float vectors are 2 GB, and nothing holds them
twice. Right answers come first, so the first thousand documents are a corpus too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexlip.errors import DataError
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.index.term_covariance import TermCovariance
from lexlip.tables import LexiconVector
from pipelines.compared_sides import (
    Encoded,
    Rivals,
    captions_of,
    covariances,
    encode_both,
    extra_documents,
    pictures_of,
)
from pipelines.comparison_settings import CompareSettings
from pipelines.corpus_arrays import map_rows, write_corpus
from pipelines.encoded_pairs import EncodedPairs

KEY_DIGITS = 12


@dataclass(frozen=True)
class Documents:
    """What is searched.

    Attributes:
        folder: where indexes over exactly these documents are kept.
        lexicon: N rows, uncut.
        dense: [N, E] float32.
        other_side: covariance of what asks, against which documents are cut.
    """

    folder: Path
    lexicon: SparseRows
    dense: np.ndarray
    other_side: TermCovariance

    def __len__(self) -> int:
        return len(self.lexicon)

    def first(self, count: int) -> "Documents":
        """The first documents, as a corpus of their own."""
        folder, lexicon = self.folder / f"first-{count}", self.lexicon.between(0, count)
        return Documents(folder, lexicon, self.dense[:count], self.other_side)


@dataclass(frozen=True)
class Questions:
    """What is asked, in the order of asking.

    Attributes:
        ids: Q ids.
        texts: the captions that ask, or the first captions of the pictures that do.
        lexicon: Q vectors.
        dense: [Q, E] float32.
        right: for each the positions of its right answers.
        other_side: covariance of documents, against which questions are cut.
    """

    ids: list[str]
    texts: list[str]
    lexicon: list[LexiconVector]
    dense: np.ndarray
    right: list[np.ndarray]
    other_side: TermCovariance

    def cut(self, terms: int) -> list[LexiconVector]:
        """The questions with at most so many terms each."""
        rows = SparseRows.of_vectors(self.lexicon).cut(terms, self.other_side)
        return [rows.row(number) for number in range(len(rows))]


@dataclass(frozen=True)
class ComparisonCorpus:
    """Documents and questions.

    Attributes:
        documents: what is searched.
        questions: what is asked.
        pairs: the pairs as LexLIP and CLIP encoded them.
        known: the real documents, which come first.
        answers: how many of them belong to pictures that ask or are asked for.
        sources: real documents that were mixed.
    """

    documents: Documents
    questions: Questions
    pairs: tuple[EncodedPairs, EncodedPairs]
    known: Encoded
    answers: int
    sources: int

    @property
    def real(self) -> int:
        """Real distractors."""
        return len(self.known.ids) - self.answers

    @property
    def drawn(self) -> int:
        """Drawn distractors."""
        return len(self.documents) - len(self.known.ids)

    def id_of(self, position: int) -> str:
        """The id of a document; drawn ones are named so."""
        return self.known.ids[position] if position < len(self.known.ids) else f"drawn-{position}"


def make_corpus(rivals: Rivals, settings: CompareSettings) -> ComparisonCorpus:
    """Encodes what is real, draws what is missing, and maps both into memory.

    Raises:
        DataError: the corpus asked for is smaller than the pairs alone, or there is nothing to draw from.
    """
    lexlip, clip = encode_both(rivals)
    asks = _asking_images(lexlip, settings)
    own = captions_of(rivals, lexlip, clip) if settings.direction == "image-to-text" else None
    pictures = pictures_of(rivals, lexlip, clip)
    owners = lexlip.right.image_of_caption if own is not None else np.arange(len(pictures.ids))
    order = np.argsort(~asks[owners], kind="stable")
    answers = int(asks[owners].sum())
    documents = (own or pictures).take(order)
    if settings.images and settings.images < len(documents.ids):
        raise DataError(
            f"--images {settings.images}: {rivals.data} alone has {len(documents.ids):,} documents; give at least as "
            "many, or 0"
        )
    room = settings.images - len(documents.ids) if settings.images else np.iinfo(np.int64).max
    known = _joined([documents, *extra_documents(rivals, settings, lexlip, int(room))])
    folder = rivals.work / f"corpus-{_key(lexlip, clip, known, settings)}"
    sources = write_corpus(folder, known, answers, settings)
    of_documents, of_questions = covariances(rivals)
    if settings.direction == "image-to-text":
        of_documents, of_questions = of_questions, of_documents
    corpus = Documents(folder, map_rows(folder), np.load(folder / "dense.npy", mmap_mode="r"), of_questions)
    questions = _questions(lexlip, clip, asks, order, of_documents, settings)
    return ComparisonCorpus(corpus, questions, (lexlip, clip), known, answers, sources)


def _asking_images(pairs: EncodedPairs, settings: CompareSettings) -> np.ndarray:
    """[I] bool: images that ask or are asked for; the others are held out, or have no caption."""
    described = pairs.right.described
    held_out = np.random.default_rng([settings.seed, 1]).permutation(described)[
        : int(settings.held_out * len(described))
    ]
    asks = np.zeros(len(pairs.image_ids), bool)
    asks[described] = True
    asks[held_out] = False
    return asks


def _joined(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(
        [key for part in parts for key in part.ids],
        SparseRows.concatenate([part.lexicon for part in parts]),
        np.concatenate([part.dense for part in parts]),
        [captions for part in parts for captions in part.captions],
        tuple(name for part in parts for name in part.parts),
    )


def _key(lexlip: EncodedPairs, clip: EncodedPairs, known: Encoded, settings: CompareSettings) -> str:
    facts = [
        str(lexlip.record.format_version),
        lexlip.record.model_fingerprint,
        clip.record.model_fingerprint,
        settings.direction,
        str(settings.images),
        str(settings.held_out),
        str(settings.seed),
        *known.parts,
        *(["mirrored"] if lexlip.record.mirrored else []),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:KEY_DIGITS]


def _questions(
    lexlip: EncodedPairs,
    clip: EncodedPairs,
    asks: np.ndarray,
    order: np.ndarray,
    other_side: TermCovariance,
    settings: CompareSettings,
) -> Questions:
    """Draws the questions; `order` says which own document of the pairs lies at each position."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    owners = lexlip.right.image_of_caption
    lexicon, dense = (lexlip.caption_vectors, clip.caption_vectors)
    if settings.direction == "text-to-image":
        asking = np.flatnonzero(asks[owners])
        ids = [f"{lexlip.image_ids[owner]}#{number}" for number, owner in enumerate(owners)]
        texts = lexlip.texts
        right = {number: place[owners[number], None] for number in asking.tolist()}
    else:
        lexicon, dense = (lexlip.images, clip.images)
        asking = np.flatnonzero(asks)
        ids, texts = lexlip.image_ids, [captions[0] if captions else "" for captions in lexlip.captions]
        of_images = dict(zip(lexlip.right.described.tolist(), lexlip.right.of_images, strict=True))
        right = {number: np.sort(place[of_images[number]]) for number in asking.tolist()}
    drawn = np.random.default_rng([settings.seed, 3]).permutation(asking)[: settings.queries].tolist()
    return Questions(
        [ids[number] for number in drawn],
        [texts[number] for number in drawn],
        [lexicon[number] for number in drawn],
        np.ascontiguousarray(np.asarray(dense)[drawn], np.float32),
        [right[number] for number in drawn],
        other_side,
    )
