"""A postings file: written from documents with impacts, opened for searching."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from pathlib import Path

import numpy as np

from lexlip.errors import DataError, IndexFormatError
from lexlip.index.answering import DAMAGED, REFUSED, answer_queries
from lexlip.index.decoding import decode_documents, document_impacts
from lexlip.index.inversion import invert
from lexlip.index.kernel import lean_kernel
from lexlip.index.layout import (
    BLOCK_DOCUMENTS,
    BLOCK_SHIFT,
    LARGEST_DOCUMENTS,
    POSITION_BYTES,
    READ_AHEAD_BYTES,
    TERM_RECORD_BYTES,
    padded_groups,
    slice_bits,
)
from lexlip.index.manifest import FileEntry
from lexlip.index.posting_writer import encode_lists
from lexlip.index.quantisation import impact_step
from lexlip.index.query import explain_refusal
from lexlip.index.search_kernel import Geometry
from lexlip.index.sections import Sections, write_sections


def write_postings(
    folder: Path,
    stem: str,
    starts: np.ndarray,
    terms: np.ndarray,
    impacts: np.ndarray,
    order: np.ndarray,
    *,
    vocabulary_terms: int,
    impact_bits: int,
    maximum_weight: float,
    row_share: float,
) -> FileEntry:
    """Writes the posting lists and the id map of a shard.

    Args:
        folder, stem: index folder and start of the file name.
        starts: [documents + 1] int64, where the document at a position begins in `terms` and `impacts`.
        terms: [postings] int32, ascending inside a document.
        impacts: [postings] uint8, at least 1.
        order: [documents] int32, the position stored at each internal number.
        vocabulary_terms: size of the vocabulary.
        impact_bits, maximum_weight: the quantisation that made the impacts.
        row_share: see `BuildSettings`.

    Raises:
        DataError: more documents than a shard can hold.
    """
    documents = order.size
    if documents > LARGEST_DOCUMENTS:
        raise DataError(
            f"{stem}: {documents} documents, but a shard holds {LARGEST_DOCUMENTS} at most; use more shards."
        )
    blocks = max(1, -(-documents // BLOCK_DOCUMENTS))
    list_starts, list_documents, list_impacts = invert(starts, terms, impacts, order, vocabulary_terms)
    bits = slice_bits(impact_bits)
    lists = encode_lists(list_starts, list_documents, list_impacts, blocks, impact_bits, row_share, bits)
    positions = order.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :POSITION_BYTES]
    id_map = np.concatenate([positions.reshape(-1), np.zeros(READ_AHEAD_BYTES, np.uint8)])
    settings = np.array([documents, impact_bits, maximum_weight, vocabulary_terms], np.float64)
    return write_sections(folder, stem, "postings", {"settings": settings, "id_map": id_map, **lists})


@lean_kernel
def _pack_allowed(data, id_map, allowed, words):
    """Sets in `words` [blocks] uint64 the bits of internal numbers whose position is `allowed` [documents] bool."""
    for number in range(allowed.size):
        position = 0
        for byte in range(POSITION_BYTES):
            position |= np.int64(data[id_map + number * POSITION_BYTES + byte]) << (8 * byte)
        if allowed[position]:
            words[number >> BLOCK_SHIFT] |= np.uint64(1) << np.uint64(number & (BLOCK_DOCUMENTS - 1))


class Postings:
    """The posting lists of an open shard.

    Attributes:
        documents, impact_bits, maximum_weight, vocabulary_terms: of the shard.
        step: the weight of one impact unit.
    """

    def __init__(self, folder: Path, entry: FileEntry) -> None:
        """Maps the file; everything but the lists is checked now, a list when it is first used.

        Raises:
            IndexFormatError: missing, cut, foreign or damaged.
        """
        self.sections = Sections(folder, entry, "postings")
        self.sections.verify("settings", "id_map", "directory", "table")
        documents, impact_bits, self.maximum_weight, vocabulary_terms = self.sections["settings"].tolist()
        self.documents, self.impact_bits, self.vocabulary_terms = (
            int(documents),
            int(impact_bits),
            int(vocabulary_terms),
        )
        self.step = impact_step(self.maximum_weight, self.impact_bits)
        blocks = max(1, -(-self.documents // BLOCK_DOCUMENTS))
        self._geometry = Geometry(
            documents=self.documents,
            blocks=blocks,
            groups=padded_groups(blocks),
            impact_bits=self.impact_bits,
            vocabulary_terms=self.vocabulary_terms,
            id_map=self.sections.offset("id_map"),
            directory=self.sections.offset("directory"),
            table=self.sections.offset("table"),
            lists=self.sections.offset("lists"),
        )
        self._geometry_values = np.array(self._geometry, np.int64)
        self._data = self.sections.data
        self._slice_bits = slice_bits(self.impact_bits)
        self._checked = np.zeros(self.sections["table"].size // TERM_RECORD_BYTES, np.uint8)
        self._numbers: np.ndarray | None = None
        self._starts: dict[int, np.ndarray] = {}

    def answer(
        self,
        starts: np.ndarray,
        terms: np.ndarray,
        weights: np.ndarray,
        k: int,
        first: int,
        last: int,
        live: np.ndarray,
        positions: np.ndarray,
        scores: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        """Searches for queries [first, last); see `answering.answer_queries` for the arrays.

        Raises:
            QueryError: a query is unsuitable.
            IndexFormatError: a list of a query's term is damaged.
        """
        answer_queries(
            self._geometry_values,
            self._data,
            self._slice_bits,
            self._checked,
            live,
            self.step,
            starts,
            terms,
            weights,
            k,
            first,
            last,
            positions,
            scores,
            counts,
        )
        for query in range(first, last):
            if counts[query] < 0:
                here = slice(starts[query], starts[query + 1])
                self._refuse(int(counts[query]), terms[here], weights[here])

    def answer_one(
        self, terms: np.ndarray, weights: np.ndarray, k: int, live: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches for one query, with little around the kernel; positions [n] int64 and scores [n] float64.

        Raises:
            QueryError: the query is unsuitable.
            IndexFormatError: a list of one of its terms is damaged.
        """
        starts = self._starts.get(terms.size)
        if starts is None:
            starts = self._starts[terms.size] = np.array([0, terms.size], np.int64)
        positions, scores, counts = np.empty((1, k), np.int64), np.empty((1, k), np.float64), np.empty(1, np.int64)
        answer_queries(
            self._geometry_values,
            self._data,
            self._slice_bits,
            self._checked,
            live,
            self.step,
            starts,
            terms,
            weights,
            k,
            0,
            1,
            positions,
            scores,
            counts,
        )
        count = int(counts[0])
        if count < 0:
            self._refuse(count, terms, weights)
        return positions[0, :count], scores[0, :count]

    def _refuse(self, count: int, terms: np.ndarray, weights: np.ndarray) -> None:
        """Raises the error that a negative number of hits stands for."""
        if count == REFUSED:
            raise explain_refusal(terms, weights, self.vocabulary_terms)
        raise self._damage(DAMAGED - count)

    def _damage(self, number: int) -> IndexFormatError:
        return IndexFormatError(
            f"{self.sections.path}: posting list {number} is damaged (its checksum does not fit). Copy the file "
            f"again or build "
            f"the index again."
        )

    def positions(self) -> np.ndarray:
        """[documents] int64: the position stored at each internal number."""
        kept = self.sections["id_map"][: self.documents * POSITION_BYTES].reshape(-1, POSITION_BYTES).astype(np.int64)
        return kept @ (1 << (8 * np.arange(POSITION_BYTES)))

    def allowed_words(self, allowed: np.ndarray) -> np.ndarray:
        """A filter [documents] bool by position as the kernels want it: [blocks] uint64 by internal number."""
        words = np.zeros(self._geometry.blocks, np.uint64)
        _pack_allowed(self._data, self._geometry.id_map, np.ascontiguousarray(allowed), words)
        return words

    def impacts(self, position: int, terms: np.ndarray) -> np.ndarray:
        """[n] uint8 impacts of the document at a position for `terms` [n] int64; 0 where it lacks the term.

        Raises:
            IndexFormatError: a list is damaged.
        """
        if self._numbers is None:
            numbers = np.empty(self.documents, np.int64)
            numbers[self.positions()] = np.arange(self.documents)
            self._numbers = numbers
        found = np.empty(terms.size, np.uint8)
        damaged = document_impacts(
            self._geometry, self._data, self._slice_bits, self._checked, int(self._numbers[position]), terms, found
        )
        if damaged >= 0:
            raise self._damage(damaged)
        return found

    def all_documents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every document by position: starts [documents + 1] int64, terms [postings] int32, impacts [postings] uint8.

        Raises:
            IndexFormatError: a list is damaged.
        """
        positions = self.positions()
        lengths = np.empty(self.documents, np.int64)
        lengths[positions] = self._counts(range(self.vocabulary_terms))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        terms, impacts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.uint8)
        if terms.size:
            self._decode(range(self.vocabulary_terms), starts[:-1][positions], terms, impacts)
        return starts, terms, impacts

    def documents_with(self, term: int) -> np.ndarray:
        """[documents] bool by position: which documents have the term; none for one that the shard does not know.

        Raises:
            IndexFormatError: the list is damaged.
        """
        found = np.zeros(self.documents, bool)
        if 0 <= term < self.vocabulary_terms:
            found[self.positions()] = self._counts(range(term, term + 1)) > 0
        return found

    def _counts(self, lists: range) -> np.ndarray:
        """[documents] int64 by internal number: in how many of some terms' lists each document is."""
        counts = np.zeros(self.documents, np.int64)
        self._decode(lists, counts, np.empty(0, np.int32), np.empty(0, np.uint8))
        return counts

    def _decode(self, lists: range, write: np.ndarray, terms: np.ndarray, impacts: np.ndarray) -> None:
        damaged = decode_documents(
            self._geometry,
            self._data,
            self._slice_bits,
            self._checked,
            lists.start,
            lists.stop,
            write,
            terms,
            impacts,
        )
        if damaged >= 0:
            raise self._damage(damaged)
