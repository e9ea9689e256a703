"""The whole content of an index, shard by shard: for looking into it, and for handing it on to other engines."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lexlip.index.manifest import read_manifest
from lexlip.index.remote_files import fetch
from lexlip.index.shard import Shard
from lexlip.storage import Location, locate


@dataclass(frozen=True)
class IndexedDocument:
    """One live document.

    Attributes:
        id: its id.
        terms: [n] int32, ascending.
        impacts: [n] uint8, quantised weights, at least 1.
        stored: its stored fields, `id` included.
    """

    id: str
    terms: np.ndarray
    impacts: np.ndarray
    stored: dict[str, Any]


class ShardContents:
    """The lexicon vectors of one shard by position, decoded at once: 5 bytes a posting. Captions are not among them.

    Attributes:
        shard: number of the shard.
        starts: [documents + 1] int64, where a document begins in `terms` and `impacts`.
        terms: [postings] int32, ascending inside a document.
        impacts: [postings] uint8.
        live: [documents] bool; deleted documents are still there.
        step: the weight of one impact unit.
    """

    def __init__(self, shard: Shard, vocabulary_terms: int) -> None:
        """Use `read_contents`."""
        self._stored = shard.stored
        self.shard = shard.entry.shard
        self.step = shard.postings.step
        starts, terms, impacts = shard.postings.all_documents()
        of_lexicon = terms < vocabulary_terms
        self.starts = np.concatenate([[0], np.cumsum(of_lexicon)])[starts]
        self.terms, self.impacts = terms[of_lexicon], impacts[of_lexicon]
        deleted = np.zeros(shard.documents, bool) if shard.deleted is None else shard.deleted
        self.live = ~deleted

    def documents(self) -> Iterator[IndexedDocument]:
        """The live documents, in the order of positions."""
        position = 0
        for batch in range(self._stored.batches):
            for stored in self._stored.batch(batch).to_pylist():
                if self.live[position]:
                    here = slice(self.starts[position], self.starts[position + 1])
                    yield IndexedDocument(stored["id"], self.terms[here], self.impacts[here], stored)
                position += 1

    def live_postings(self) -> tuple[np.ndarray, np.ndarray]:
        """Terms and impacts of live documents."""
        kept = np.repeat(self.live, np.diff(self.starts))
        return self.terms[kept], self.impacts[kept]


def read_contents(path: str | Location) -> Iterator[ShardContents]:
    """The shards of the published state, in their order; one is in memory at a time if the caller keeps none.

    Raises:
        IndexFormatError: no index there, or a file is missing or damaged.
    """
    where = locate(path)
    manifest = read_manifest(where)
    for entry in manifest.shards:
        yield ShardContents(Shard(fetch(where, [entry]), entry), manifest.vocabulary_terms)
