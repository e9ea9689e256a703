"""Weights before quantisation, kept as 16-bit floats beside a shard, to put the best hits in their exact order."""

from pathlib import Path

import numpy as np

from lexlip.index.manifest import FileEntry
from lexlip.index.sections import Sections, write_sections


def write_exact_weights(
    folder: Path, stem: str, starts: np.ndarray, terms: np.ndarray, weights: np.ndarray
) -> FileEntry:
    """Writes documents by position: starts [documents + 1] int64, terms [postings] int32, weights [postings]
    float32.
    """
    return write_sections(
        folder, stem, "weights", {"starts": starts, "terms": terms, "weights": weights.astype(np.float16)}
    )


class ExactWeights:
    """The weights of an open shard."""

    def __init__(self, folder: Path, entry: FileEntry) -> None:
        """Maps and checks the file, once, when a search first reranks.

        Raises:
            IndexFormatError: missing, cut, foreign or damaged.
        """
        sections = Sections(folder, entry, "weights")
        sections.verify()
        self.starts, self.terms, self.weights = sections["starts"], sections["terms"], sections["weights"]

    def score(self, position: int, terms: np.ndarray, weights: np.ndarray) -> float:
        """The score of a document with its weights as they were, for ascending query terms [n] and their weights."""
        here = slice(int(self.starts[position]), int(self.starts[position + 1]))
        _, own, asked = np.intersect1d(self.terms[here], terms, assume_unique=True, return_indices=True)
        return float(self.weights[here][own].astype(np.float64) @ weights[asked])
