"""What a comparison measures: the corpus, the grid of LexLIP settings, the FAISS indexes, the timing."""

from dataclasses import dataclass, replace
from typing import Literal

from lexlip.errors import DataError
from pipelines.encoding import IMAGE_TERMS

HITS = 10
BATCH = 256
Direction = Literal["text-to-image", "image-to-text"]
Terms = int | Literal["all"]
Skippable = Literal["fp16", "sq8", "hnsw", "ivfflat", "ivfpq", "bm25"]
ALL_SKIPPABLE: tuple[Skippable, ...] = ("fp16", "sq8", "hnsw", "ivfflat", "ivfpq", "bm25")
MAIN_BITS = 8


@dataclass(frozen=True)
class CompareSettings:
    """How the comparison is made.

    Attributes:
        direction: what is asked for what.
        images: documents of the corpus, right answers and distractors together (captions when they are what is
            searched); 0 takes the real ones. What real ones do not fill is drawn.
        held_out: share of the images of the pairs whose captions do not ask: they are distractors, and others are drawn
            from them.
        document_terms: terms kept of a document.
        query_terms: terms kept of a query.
        impact_bits: bits of a quantised weight.
        skip: rivals that are left out; the report says so.
        hnsw_minutes: what building HNSW may take; when it would take longer it is left out, and the report says so.
        hnsw_construction: efConstruction of HNSW.
        growth: sizes at which latency and memory are measured besides the whole corpus.
        queries: most queries that recall is measured with.
        timed_queries: most of them that are timed.
        rounds: interleaved rounds of timing.
        round_seconds: what one system may take of a round; a slow one answers fewer queries in it.
        examples: queries shown with their answers.
        seed: of what is held out, drawn, asked and shown.
    """

    direction: Direction = "text-to-image"
    images: int = 0
    held_out: float = 0.0
    document_terms: tuple[Terms, ...] = (8, 16, 32, 64, 128, "all")
    query_terms: tuple[Terms, ...] = (4, 8, 16, "all")
    impact_bits: tuple[int, ...] = (4, 8)
    skip: tuple[Skippable, ...] = ()
    hnsw_minutes: float = 25.0
    hnsw_construction: int = 80
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)
    queries: int = 5_000
    timed_queries: int = 1_000
    rounds: int = 5
    round_seconds: float = 2.0
    examples: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.held_out < 1.0:
            raise DataError(f"--held-out is {self.held_out}; it is a share from 0 up to, without, 1")
        if not (self.document_terms and self.query_terms and self.impact_bits):
            raise DataError("--document-terms, --query-terms and --impact-bits need at least one value each")
        if min(self.queries, self.timed_queries, self.rounds) < 1:
            raise DataError("--queries, --timed-queries and --rounds must be at least 1")

    @property
    def lexlip_grid(self) -> list[tuple[Terms, int]]:
        """Document terms and bits of every index, the main one first: 32 terms and 8 bits where they are asked for."""
        grid = [(terms, bits) for terms in self.document_terms for bits in self.impact_bits]
        return sorted(grid, key=lambda entry: entry != (IMAGE_TERMS, MAIN_BITS))

    @property
    def query_cuts(self) -> list[Terms]:
        """Query cuts, the whole query first where it is asked for."""
        return sorted(self.query_terms, key=lambda cut: cut != "all")


def quick(settings: CompareSettings) -> CompareSettings:
    """A small comparison of everything: for the demo's models it takes a few minutes.

    Direction, seed and what is skipped stay as they are.
    """
    return replace(
        settings,
        images=20_000,
        held_out=0.5,
        document_terms=(16, 32, "all"),
        query_terms=(8, "all"),
        growth=(1_000, 5_000),
        queries=1_000,
        timed_queries=300,
        rounds=3,
        round_seconds=0.5,
    )


def within_demo() -> CompareSettings:
    """What the demo shows: the index it made, beside FAISS flat and BM25."""
    return CompareSettings(
        document_terms=(IMAGE_TERMS,),
        impact_bits=(MAIN_BITS,),
        skip=("fp16", "sq8", "hnsw", "ivfflat", "ivfpq"),
        growth=(),
        timed_queries=500,
        rounds=3,
        round_seconds=0.5,
    )
