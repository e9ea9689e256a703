"""From captions to postings while an index is built: count pieces, measure lengths, append to lexicon vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lexlip.errors import DataError
from lexlip.index.caption_field import CaptionField
from lexlip.index.vectors import VectorRows, read_vectors

if TYPE_CHECKING:
    from lexlip.storage import Location
    from lexlip.vocabulary import Vocabulary  # here: shards search without a tokeniser

CAPTIONS_COLUMN = "captions"


@dataclass(frozen=True)
class CaptionLengths:
    """What a field's parameters follow from; sums of several files add up.

    Attributes:
        documents: how many have captions.
        pieces: of all their captions.
        maximum_weight: the largest weight of a lexicon vector.
    """

    documents: int
    pieces: int
    maximum_weight: float

    @classmethod
    def of_rows(cls, rows: VectorRows, vocabulary: Vocabulary) -> CaptionLengths:
        """Measures some documents.

        Raises:
            DataError: there is no column of captions, or it is no list of texts.
        """
        lengths = count_captions(captions_of(rows.fields), vocabulary).lengths
        largest = float(rows.weights.max(initial=0.0))
        return cls(int(np.count_nonzero(lengths)), int(lengths.sum()), largest)

    def __add__(self, other: CaptionLengths) -> CaptionLengths:
        return CaptionLengths(
            self.documents + other.documents,
            self.pieces + other.pieces,
            max(self.maximum_weight, other.maximum_weight),
        )

    def field(self, vocabulary: Vocabulary, maximum_weight: float | None = None) -> CaptionField:
        """The field of a corpus of these lengths.

        Args:
            vocabulary: that cuts the captions.
            maximum_weight: of the build settings; None takes the largest weight found.

        Raises:
            DataError: no document has a caption.
        """
        if not self.documents:
            raise DataError(
                f"no document has captions to index; give vectors with a column {CAPTIONS_COLUMN!r}, or leave captions "
                "out of the index."
            )
        return CaptionField(len(vocabulary), self.pieces / self.documents, maximum_weight or self.maximum_weight or 1.0)


@dataclass(frozen=True)
class CaptionCounts:
    """Pieces of the captions of some documents.

    Attributes:
        starts: [documents + 1] int64, where each begins in the other arrays.
        terms: [postings] int32 ids of the vocabulary, ascending inside a document.
        frequencies: [postings] int64, how often each occurs there.
        lengths: [documents] int64, pieces of all captions.
    """

    starts: np.ndarray
    terms: np.ndarray
    frequencies: np.ndarray
    lengths: np.ndarray


def count_captions(captions: Sequence[Sequence[str | None] | None], vocabulary: Vocabulary) -> CaptionCounts:
    """Counts the pieces of each document's captions; words that the vocabulary cannot spell are left out."""
    owned = [(number, text) for number, texts in enumerate(captions) for text in texts or () if text]
    pieces = vocabulary.cut([text for _, text in owned])
    owners = np.repeat(
        np.array([number for number, _ in owned], np.int64), np.array([len(own) for own in pieces], np.int64)
    )
    terms = np.array([piece for own in pieces for piece in own], np.int64)
    keys, frequencies = np.unique(owners * len(vocabulary) + terms, return_counts=True)
    rows, terms = np.divmod(keys, len(vocabulary))
    return CaptionCounts(
        starts=np.searchsorted(rows, np.arange(len(captions) + 1)).astype(np.int64),
        terms=terms.astype(np.int32),
        frequencies=frequencies,
        lengths=np.bincount(owners, minlength=len(captions)),
    )


@dataclass(frozen=True)
class CaptionIndexing:
    """Makes postings of captions while a shard is built.

    Attributes:
        field: the parameters.
        vocabulary: that cuts the captions; the index's own.
    """

    field: CaptionField
    vocabulary: Vocabulary

    def append(self, rows: VectorRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Documents with the postings of their captions behind those of their lexicon vectors.

        Returns:
            starts [documents + 1] int64, terms [postings] int32, weights [postings] float32.

        Raises:
            DataError: there is no column of captions, or it is no list of texts.
        """
        counts = count_captions(captions_of(rows.fields), self.vocabulary)
        owners = np.repeat(np.arange(len(rows)), np.diff(counts.starts))
        saturations = self.field.saturations(counts.frequencies, counts.lengths[owners])
        starts = rows.starts + counts.starts
        of_lexicon = np.ones(starts[-1], bool)
        of_lexicon[np.arange(owners.size) + rows.starts[1:][owners]] = False
        terms, weights = np.empty(of_lexicon.size, np.int32), np.empty(of_lexicon.size, np.float32)
        terms[of_lexicon], weights[of_lexicon] = rows.terms, rows.weights
        terms[~of_lexicon] = counts.terms + self.field.first_term
        weights[~of_lexicon] = saturations * self.field.full_weight
        return starts, terms, weights


def captions_of(fields: pa.RecordBatch) -> list[list[str | None] | None]:
    """The captions of each document among stored fields.

    Raises:
        DataError: there is no such column, or it is no list of texts.
    """
    if CAPTIONS_COLUMN not in fields.schema.names:
        raise DataError(
            f"no column {CAPTIONS_COLUMN!r} among {', '.join(fields.schema.names)}; encode pictures with captions, or "
            "leave captions out of the index."
        )
    try:
        return fields.column(CAPTIONS_COLUMN).cast(pa.list_(pa.string())).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the column {CAPTIONS_COLUMN!r} holds no lists of texts ({error}).") from error


def measure_captions(files: Sequence[str | Location], vocabulary: Vocabulary) -> CaptionLengths:
    """Reads vector files once, for the parameters of their caption field.

    Raises:
        DataError: as `read_vectors`, or there are no captions.
    """
    total = CaptionLengths(0, 0, 0.0)
    for rows in read_vectors(files, len(vocabulary)):
        total += CaptionLengths.of_rows(rows, vocabulary)
    return total
