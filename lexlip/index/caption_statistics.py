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
    def of_postings(cls, field: CaptionField, starts: np.ndarray, terms: np.ndarray) -> CaptionStatistics:
        """Counts documents: starts [documents + 1] int64, terms [postings] int32 of both fields."""
        said = terms >= field.first_term
        before = np.concatenate([[0], np.cumsum(said)])
        described = int(np.count_nonzero(before[starts[1:]] > before[starts[:-1]]))
        return cls(field, described, np.bincount(terms[said] - field.first_term, minlength=field.first_term))

    def write(self, folder: Path, stem: str) -> FileEntry:
        """Writes the counts of a shard; `stem` is the start of the file name."""
        counts = {"documents": np.array([self.documents], np.uint32), "frequencies": self.frequencies.astype(np.uint32)}
        return write_sections(folder, stem, CAPTIONS_KIND, counts)

    @classmethod
    def read(cls, field: CaptionField, shards: Sequence[Sections]) -> CaptionStatistics:
        """Adds up what was written for each shard.

        Raises:
            IndexFormatError: a file is damaged.
        """
        documents, frequencies = 0, np.zeros(field.first_term, np.int64)
        for sections in shards:
            sections.verify()
            documents += int(sections["documents"][0])
            frequencies += sections["frequencies"]
        return cls(field, documents, frequencies)

    def idf(self, terms: np.ndarray) -> np.ndarray:
        """[n] float64, above 0: how much [n] terms of the vocabulary tell, by Lucene's formula."""
        frequencies = self.frequencies[terms]
        return np.log1p((self.documents - frequencies + 0.5) / (frequencies + 0.5))
