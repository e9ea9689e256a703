"""What a comparison of LexLIP with dense CLIP found, as data: written as JSON, drawn as a page."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lexlip.evaluation.recall import Recall
from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.evaluation.timing import Latency

LEXLIP, FLAT = "lexlip", "faiss-flat"
FAMILY_TITLES = {
    LEXLIP: "LexLIP",
    FLAT: "FAISS flat",
    "faiss-fp16": "FAISS fp16",
    "faiss-sq8": "FAISS SQ8",
    "faiss-hnsw": "FAISS HNSW",
    "faiss-ivfflat": "FAISS IVFFlat",
    "faiss-ivfpq": "FAISS IVFPQ",
    "bm25": "BM25",
}
SETTING_WORDS = {
    "document_terms": "{} terms a document",
    "query_terms": "{} a query",
    "impact_bits": "{} bits",
    "ef_search": "efSearch {}",
    "nprobe": "nprobe {}",
    "batch": "batches of {}",
}


def setting_words(setting: Mapping[str, str | int]) -> str:
    """A setting as a reader wants it; facts that are the same for a whole family are left out."""
    return ", ".join(words.format(setting[key]) for key, words in SETTING_WORDS.items() if key in setting)


def title_of(name: str, setting: Mapping[str, str | int]) -> str:
    """Family and setting as a reader wants them."""
    return ", ".join(words for words in (FAMILY_TITLES.get(name, name), setting_words(setting)) if words)


@dataclass(frozen=True)
class SystemResult:
    """One system in one setting.

    Attributes:
        name: its family: "lexlip", "faiss-flat", ...
        setting: what distinguishes it from others of the same family.
        recall: as answered by the system.
        latency: its times.
        bytes_per_document: size of its index, stored fields not counted.
        build_seconds: what building the index took.
    """

    name: str
    setting: Mapping[str, str | int]
    recall: Recall
    latency: Latency
    bytes_per_document: float
    build_seconds: float

    @property
    def title(self) -> str:
        """Name and setting as a reader wants them."""
        return title_of(self.name, self.setting)

    @property
    def short_title(self) -> str:
        """The setting alone; empty when there is nothing to tell apart."""
        return setting_words(self.setting)

    @property
    def single(self) -> bool:
        """Whether it answers one query at a time."""
        return self.latency.batch == 1

    def to_json(self) -> dict:
        """`{"name", "setting", "recall", "p50_us", "p99_us", "qps", "bytes_per_image", ...}`."""
        return {
            "name": self.name,
            "setting": dict(self.setting),
            "recall": self.recall.to_json(),
            "p50_us": self.latency.p50_us,
            "p99_us": self.latency.p99_us,
            "qps": self.latency.qps,
            "bytes_per_image": round(self.bytes_per_document, 1),
            "timed_calls": self.latency.calls,
            "build_s": round(self.build_seconds, 1),
        }


@dataclass(frozen=True)
class GrowthPoint:
    """A system over the first documents of the corpus.

    Attributes:
        documents: how many.
        system: family and setting as a reader wants them.
        name: of the family.
        latency: its times.
        bytes_per_document: size of its index.
    """

    documents: int
    system: str
    name: str
    latency: Latency
    bytes_per_document: float

    def to_json(self) -> dict:
        """`{"documents", "name", "system", "p50_us", "p99_us", "qps", "bytes_per_image"}`."""
        return {
            "documents": self.documents,
            "name": self.name,
            "system": self.system,
            "p50_us": self.latency.p50_us,
            "p99_us": self.latency.p99_us,
            "qps": self.latency.qps,
            "bytes_per_image": round(self.bytes_per_document, 1),
        }


@dataclass(frozen=True)
class LexicalBaseline:
    """BM25 over what people wrote about the pictures, which no picture search has: a yardstick, not a rival.

    Attributes:
        recall: with one caption of each picture as the query and the others as its text.
        latency: its times.
        documents: pictures with captions that it searched; there are no captions of drawn documents.
        queries: how many.
    """

    recall: Recall
    latency: Latency
    documents: int
    queries: int

    def to_json(self) -> dict:
        """`{"recall", "p50_us", "p99_us", "qps", "documents", "queries"}`."""
        return {
            "recall": self.recall.to_json(),
            "p50_us": self.latency.p50_us,
            "p99_us": self.latency.p99_us,
            "qps": self.latency.qps,
            "documents": self.documents,
            "queries": self.queries,
        }


@dataclass(frozen=True)
class ComparedCorpus:
    """What was searched.

    Attributes:
        data: location of the pairs whose right answers are looked for.
        direction: "text-to-image" or "image-to-text".
        documents: right answers and distractors together.
        answers: documents of the pairs themselves.
        real: distractors that are encoded pictures or captions.
        drawn: distractors that are mixtures of real ones.
        sources: real documents that were mixed.
        queries: how many asked for recall.
        timed_queries: how many of them were timed.
        document_terms: mean terms of a LexLIP document before any cut.
        query_terms: mean terms of a LexLIP query before any cut.
        drawn_among_wrong: share of drawn documents, in percent, among the wrong answers in the first ten, for LexLIP
            and for flat CLIP. If drawn ones were exactly as hard as real ones it would be their share of the
            distractors.
    """

    data: str
    direction: str
    documents: int
    answers: int
    real: int
    drawn: int
    sources: int
    queries: int
    timed_queries: int
    document_terms: float
    query_terms: float
    drawn_among_wrong: Mapping[str, float]

    def to_json(self) -> dict:
        """All fields by name; `images` is another name of `documents`."""
        return {**asdict(self), "images": self.documents}


@dataclass(frozen=True)
class ExampleHit:
    """A document that a system returned.

    Attributes:
        id: of the document.
        right: whether it is a right answer.
        thumbnail: JPEG bytes of the picture, or None when there is none: a caption, or a drawn document.
        caption: text of the document, when it is a caption.
        words: (term, share of the score) for the terms that made the score; empty for a dense system.
    """

    id: str
    right: bool
    thumbnail: bytes | None = None
    caption: str | None = None
    words: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ExampleQuery:
    """One query, a caption or a picture, and what both systems answered."""

    text: str
    lexlip: tuple[ExampleHit, ...]
    clip: tuple[ExampleHit, ...]
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Comparison:
    """Everything that was measured.

    Attributes:
        corpus: what was searched.
        quality: "lexlip" and "clip" to exact recall of the models on the pairs alone, nothing quantised.
        systems: what was timed over the whole corpus; the first "lexlip" and the first "faiss-flat" are the main ones.
        growth: some systems over the first thousand, ten thousand, ... documents.
        lexical: BM25, where there are captions.
        left_out: system to the reason why it was not measured.
        machine: processor, memory, versions.
        settings: seeds, rounds and the like.
        command: what a reader types to measure again.
        examples: queries with the answers of both.
    """

    corpus: ComparedCorpus
    quality: Mapping[str, RetrievalEvaluation]
    systems: tuple[SystemResult, ...]
    machine: Mapping[str, str | int]
    settings: Mapping[str, str | int | float]
    command: str
    growth: tuple[GrowthPoint, ...] = ()
    lexical: LexicalBaseline | None = None
    left_out: Mapping[str, str] | None = None
    examples: tuple[ExampleQuery, ...] = ()

    def main(self, name: str, *, batch: bool = False) -> SystemResult:
        """The first system of a family that answers one query at a time, or the first that takes batches."""
        return next(system for system in self.systems if system.name == name and system.single != batch)

    def family(self, name: str, *, single: bool = True) -> list[SystemResult]:
        """All settings of a family: those that answer one query at a time, or all."""
        return [system for system in self.systems if system.name == name and (system.single or not single)]

    @property
    def names(self) -> list[str]:
        """The families, in the order in which they were measured."""
        return list(dict.fromkeys(system.name for system in self.systems))

    @property
    def speed_ratio(self) -> float:
        """How many times faster the main LexLIP setting answers one query than FAISS flat (p50)."""
        return round(self.main(FLAT).latency.p50_us / self.main(LEXLIP).latency.p50_us, 2)

    @property
    def throughput_ratio(self) -> float:
        """How many times more queries a second the main setting answers in batches than FAISS flat through BLAS."""
        return round(self.main(LEXLIP, batch=True).latency.qps / self.main(FLAT, batch=True).latency.qps, 2)

    @property
    def memory_ratio(self) -> float:
        """How many times smaller the index of the main LexLIP setting is than the dense vectors."""
        return round(self.main(FLAT).bytes_per_document / self.main(LEXLIP).bytes_per_document, 2)
