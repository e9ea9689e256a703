"""How many documents of an index have captions, and how many have each term in them: what idf follows from.

Counted while a shard is written, for posting lists know their blocks only, and idf must not cost a search the decoding
of lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexlip.index.caption_field import CaptionField
from lexlip.index.manifest import FileEntry
from lexlip.index.sections import Sections, write_sections

CAPTIONS_KIND = "captions"


def write_caption_counts(
    folder: Path, stem: str, starts: np.ndarray, terms: np.ndarray, field: CaptionField
) -> FileEntry:
    """Writes the counts of one shard.

    Args:
        folder, stem: index folder and start of the file name.
        starts: [documents + 1] int64, where a document begins in `terms`.
        terms: [postings] int32 of both fields.
        field: where captions begin.
    """
    said = terms >= field.first_term
    before = np.concatenate([[0], np.cumsum(said)])
    described = int(np.count_nonzero(before[starts[1:]] > before[starts[:-1]]))
    frequencies = np.bincount(terms[said] - field.first_term, minlength=field.first_term)
    return write_sections(
        folder,
        stem,
        CAPTIONS_KIND,
        {"documents": np.array([described], np.uint32), "frequencies": frequencies.astype(np.uint32)},
    )


@dataclass(frozen=True)
class CaptionStatistics:
    """What idf follows from. Deleted documents count until their shard is merged, as they do in Lucene.

    Attributes:
        field: how captions became postings.
        documents: how many have captions.
        frequencies: [V] int64, in how many of them each term of the vocabulary is.
    """

    field: CaptionField
    documents: int
    frequencies: np.ndarray

    @classmethod
    def read(cls, field: CaptionField, counts: Sequence[Sections]) -> CaptionStatistics:
        """Adds up what `write_caption_counts` wrote for each shard.

        Raises:
            IndexFormatError: a file is damaged.
        """
        documents, frequencies = 0, np.zeros(field.first_term, np.int64)
        for sections in counts:
            sections.verify()
            documents += int(sections["documents"][0])
            frequencies += sections["frequencies"]
        return cls(field, documents, frequencies)

    def idf(self, terms: np.ndarray) -> np.ndarray:
        """[n] float64, above 0: how much [n] terms of the vocabulary tell, by Lucene's formula."""
        frequencies = self.frequencies[terms]
        return np.log1p((self.documents - frequencies + 0.5) / (frequencies + 0.5))
