"""One open shard: its mapped posting lists, id map, deletions and stored fields."""

from pathlib import Path

import numpy as np

from lexlip.index.exhaustive import exhaustive_search
from lexlip.index.identifiers import candidate_positions
from lexlip.index.manifest import ShardEntry
from lexlip.index.quantisation import impact_step
from lexlip.index.query import Query
from lexlip.index.sections import Sections
from lexlip.index.stored import StoredFields


class Shard:
    """A read-only shard.

    Attributes:
        entry: what the manifest says about it.
        documents: positions in it, deleted documents included.
        impact_bits, step: quantisation; a weight is impact x step.
    """

    def __init__(self, folder: Path, entry: ShardEntry) -> None:
        """Maps the files of a shard and checks their headers.

        Raises:
            IndexFormatError: a file is missing, cut, foreign or damaged.
        """
        self.entry = entry
        self.documents = entry.documents
        self._postings = Sections(folder, entry.postings, "postings")
        self._identifiers = Sections(folder, entry.identifiers, "ids")
        self.stored = StoredFields(folder, entry.stored, self._identifiers)
        self._postings.verify("settings")
        settings = self._postings["settings"]
        self.impact_bits = int(settings[1])
        self.step = impact_step(float(settings[2]), self.impact_bits)
        self._live: np.ndarray | None = None
        if entry.tombstones is not None:
            tombstones = Sections(folder, entry.tombstones, "deleted")
            tombstones.verify()
            self._live = np.unpackbits(tombstones["deleted"], count=self.documents) == 0

    def search(self, query: Query, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The k best live, allowed documents: positions [n] int64 in the shard and scores [n] int64 in query units x impacts."""
        starts, terms, impacts = self._postings["starts"], self._postings["terms"], self._postings["impacts"]
        kept = np.ones(self.documents, bool) if allowed is None else allowed.copy()
        if self._live is not None:
            kept &= self._live
        all_impacts = np.where(np.repeat(kept, np.diff(starts)), impacts, 0)
        return exhaustive_search(starts, terms, all_impacts, query.terms, query.weights, k)

    def impacts(self, position: int, terms: np.ndarray) -> np.ndarray:
        """[len(terms)] uint8 impacts of a document; 0 where it lacks the term."""
        own_terms, own_impacts = self.vector(position)
        dense = np.zeros(max(int(own_terms.max(initial=0)), int(terms.max(initial=0))) + 1, np.uint8)
        dense[own_terms] = own_impacts
        return dense[terms]

    def vector(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Terms [n] int32 ascending and impacts [n] uint8 of a document."""
        starts = self._postings["starts"]
        here = slice(int(starts[position]), int(starts[position + 1]))
        return self._postings["terms"][here].astype(np.int32), self._postings["impacts"][here]

    def is_live(self, position: int) -> bool:
        """Whether the document was not deleted."""
        return self._live is None or bool(self._live[position])

    def position_of(self, id: str) -> int | None:
        """The position of a live document with this id."""
        for position in candidate_positions(self._identifiers["hashes"], self._identifiers["hash_positions"], id):
            if self.is_live(int(position)) and self.stored.row(int(position))["id"] == id:
                return int(position)
        return None
