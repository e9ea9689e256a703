"""One open shard: its posting lists, deletions and stored fields."""

from pathlib import Path

import numpy as np

from lexlip.errors import IndexFormatError
from lexlip.index.caption_statistics import CAPTIONS_KIND
from lexlip.index.exact_weights import ExactWeights
from lexlip.index.identifiers import candidate_positions
from lexlip.index.manifest import FileEntry, ShardEntry
from lexlip.index.postings import Postings
from lexlip.index.sections import Sections, write_sections
from lexlip.index.stored import StoredFields

_ALL_LIVE = np.zeros(0, np.uint64)


def write_tombstones(folder: Path, stem: str, deleted: np.ndarray) -> FileEntry:
    """Writes which documents of a shard are deleted: [documents] bool by position."""
    return write_sections(folder, stem, "deleted", {"deleted": np.packbits(deleted)})


class Shard:
    """A read-only shard.

    Attributes:
        entry: what the manifest says about it.
        documents: positions in it, deleted documents included.
        postings: its posting lists.
        stored: its stored fields.
        caption_counts: from which idf follows, or None without a caption field.
    """

    def __init__(self, folder: Path, entry: ShardEntry) -> None:
        """Maps the files of a shard and checks their headers.

        Raises:
            IndexFormatError: a file is missing, cut, foreign or damaged.
        """
        self.entry = entry
        self.documents = entry.documents
        self._folder = folder
        self.postings = Postings(folder, entry.postings)
        self.identifiers = Sections(folder, entry.identifiers, "ids")
        self.stored = StoredFields(folder, entry.stored, self.identifiers)
        if self.postings.documents != entry.documents or self.identifiers["hashes"].size != entry.documents:
            raise IndexFormatError(
                f"{folder}: shard {entry.shard} has {entry.documents} documents by the manifest, "
                f"{self.postings.documents} by "
                f"{entry.postings.name} and {self.identifiers['hashes'].size} by {entry.identifiers.name}."
            )
        self.caption_counts = None if entry.captions is None else Sections(folder, entry.captions, CAPTIONS_KIND)
        self.deleted: np.ndarray | None = None
        self._live = _ALL_LIVE
        self._identifiers_checked = False
        self._exact_weights: ExactWeights | None = None
        if entry.tombstones is not None:
            tombstones = Sections(folder, entry.tombstones, "deleted")
            tombstones.verify()
            self.deleted = np.unpackbits(tombstones["deleted"], count=self.documents).astype(bool)
            self._live = self.postings.allowed_words(~self.deleted)

    def live_words(self, allowed: np.ndarray | None) -> np.ndarray:
        """The documents a search may return, as the kernels want them: live ones that are also `allowed` [documents]
        bool.
        """
        if allowed is None:
            return self._live
        return self.postings.allowed_words(allowed if self.deleted is None else allowed & ~self.deleted)

    @property
    def exact_weights(self) -> ExactWeights | None:
        """The weights before quantisation, when they were kept."""
        if self._exact_weights is None and self.entry.exact_weights is not None:
            self._exact_weights = ExactWeights(self._folder, self.entry.exact_weights)
        return self._exact_weights

    def is_live(self, position: int) -> bool:
        """Whether the document was not deleted."""
        return self.deleted is None or not self.deleted[position]

    def position_of(self, id: str) -> int | None:
        """The position of the live document with this id, or None."""
        if not self._identifiers_checked:
            self.identifiers.verify("hashes", "hash_positions")
            self._identifiers_checked = True
        for candidate in candidate_positions(self.identifiers["hashes"], self.identifiers["hash_positions"], id):
            position = int(candidate)
            if self.is_live(position) and self.stored.row(position)["id"] == id:
                return position
        return None
