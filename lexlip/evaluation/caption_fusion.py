"""Recall of the lexicon, of captions, and of both: a caption asks, the other captions of its picture are indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lexlip.errors import DataError
from lexlip.evaluation.recall import Recall, ranks_of_right
from lexlip.evaluation.retrieval import RightAnswers
from lexlip.evaluation.similarity import sparse_scores
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.index.caption_postings import CAPTIONS_COLUMN, CaptionIndexing, CaptionLengths
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.index.fusion import fuse, said_pieces
from lexlip.index.quantisation import dequantise, quantise
from lexlip.index.settings import BuildSettings
from lexlip.index.vectors import VectorRows
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FEWEST_CAPTIONS = 2  # one asks, another one is there to be found


@dataclass(frozen=True)
class FusedRecall:
    """Text to image with one share of captions in the score: 0 is the lexicon alone, 1 are captions alone.

    Attributes:
        captions: the share.
        exact: recall of floating-point weights.
        impacts: recall of the impacts that an index holds by default.
    """

    captions: float
    exact: Recall
    impacts: Recall

    def to_json(self) -> dict:
        """`{"captions", "exact": {"r1", ...}, "impacts": {...}}`."""
        return {"captions": self.captions, "exact": self.exact.to_json(), "impacts": self.impacts.to_json()}


@dataclass(frozen=True)
class CaptionFusion:
    """Recall by share.

    Attributes:
        queries: captions that asked, each among all pictures.
        shares: ascending.
    """

    queries: int
    shares: tuple[FusedRecall, ...]

    def to_json(self) -> dict:
        """`{"queries", "shares": [...]}`."""
        return {"queries": self.queries, "shares": [fused.to_json() for fused in self.shares]}


def evaluate_fusion(
    images: Sequence[LexiconVector],
    texts: Sequence[str],
    caption_vectors: Sequence[LexiconVector],
    right: RightAnswers,
    vocabulary: Vocabulary,
) -> CaptionFusion:
    """Every caption of a picture with several asks once, among pictures that are known by their other captions.

    Args:
        images: I vectors.
        texts, caption_vectors: C captions.
        right: which image each describes.
        vocabulary: of the vectors; it cuts the captions.

    Raises:
        DataError: no picture has two captions.
    """
    rows = SparseRows.of_vectors(images)
    own: list[list[int]] = [[] for _ in images]
    for number, image in enumerate(right.image_of_caption.tolist()):
        own[image].append(number)
    turns = max(map(len, own))
    if turns < FEWEST_CAPTIONS:
        raise DataError("no picture has two captions: one of them asks, and another one is needed to be found")
    exact: dict[float, list[np.ndarray]] = {share: [] for share in SHARES}
    impacts: dict[float, list[np.ndarray]] = {share: [] for share in SHARES}
    for turn in range(turns):
        asking = [numbers[turn] for numbers in own if len(numbers) >= max(FEWEST_CAPTIONS, turn + 1)]
        answers = [right.image_of_caption[[number]] for number in asking]
        said = [said_pieces(vocabulary, texts[number]) for number in asking]
        known = [[texts[number] for place, number in enumerate(numbers) if place != turn] for numbers in own]
        documents, statistics = _with_captions(rows, known, vocabulary)
        as_indexed = _as_impacts(documents)
        for share in SHARES:
            queries = [
                fuse(caption_vectors[number], pieces, statistics, share)
                for number, pieces in zip(asking, said, strict=True)
            ]
            for ranks, held in ((exact, documents), (impacts, as_indexed)):
                vectors = [held.row(place) for place in range(len(held))]
                ranks[share].append(ranks_of_right(sparse_scores(queries, vectors), answers, 0.0))
    recalls = [
        FusedRecall(share, *(Recall.of_ranks(np.concatenate(ranks[share])) for ranks in (exact, impacts)))
        for share in SHARES
    ]
    return CaptionFusion(sum(map(len, exact[SHARES[0]])), tuple(recalls))


def _with_captions(
    rows: SparseRows, captions: Sequence[Sequence[str]], vocabulary: Vocabulary
) -> tuple[SparseRows, CaptionStatistics]:
    """Documents as a shard holds them before quantisation."""
    fields = pa.RecordBatch.from_pydict({CAPTIONS_COLUMN: pa.array(captions, pa.list_(pa.string()))})
    documents = VectorRows(rows.starts, rows.terms, rows.weights, fields)
    field = CaptionLengths.of_rows(documents, vocabulary).field(vocabulary)
    starts, terms, weights = CaptionIndexing(field, vocabulary).append(documents)
    return SparseRows(starts, terms, weights), CaptionStatistics.of_postings(field, starts, terms)


def _as_impacts(rows: SparseRows) -> SparseRows:
    bits, largest = BuildSettings().impact_bits, float(rows.weights.max())
    return SparseRows(rows.starts, rows.terms, dequantise(quantise(rows.weights, largest, bits), largest, bits))
