"""What a comparison of LexLIP with dense CLIP found, as data: written as JSON, drawn as a page."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lexlip.evaluation.recall import Recall
from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.evaluation.timing import Latency

SYSTEM_TITLES = {"lexlip": "LexLIP", "faiss-flat": "CLIP, FAISS flat"}
RECALL_TARGETS = (1.0, 0.99, 0.95)  # shares of flat CLIP's recall at 10


@dataclass(frozen=True)
class SystemResult:
    """One system in one setting.

    Attributes:
        name: "lexlip", "faiss-flat", ...
        setting: what distinguishes it from others of the same name.
        recall: text to image, as answered by the system.
        latency: its times.
        bytes_per_image: size of its index, stored fields not counted.
    """

    name: str
    setting: Mapping[str, str | int]
    recall: Recall
    latency: Latency
    bytes_per_image: float

    @property
    def title(self) -> str:
        """Name and setting as a reader wants them."""
        words = [SYSTEM_TITLES.get(self.name, self.name)]
        if "query_terms" in self.setting:
            words.append(f"{self.setting['query_terms']} query terms")
        if self.latency.batch > 1:
            words.append(f"batches of {self.latency.batch}")
        return ", ".join(words)

    def to_json(self) -> dict:
        """`{"name", "setting", "recall", "p50_us", "p99_us", "qps", "bytes_per_image"}`."""
        return {
            "name": self.name,
            "setting": dict(self.setting),
            "recall": self.recall.to_json(),
            "p50_us": self.latency.p50_us,
            "p99_us": self.latency.p99_us,
            "qps": self.latency.qps,
            "bytes_per_image": round(self.bytes_per_image, 1),
        }


@dataclass(frozen=True)
class EqualRecall:
    """The fastest LexLIP setting that reaches a recall, beside FAISS flat.

    Attributes:
        target: recall at 10 to reach, in percent.
        share: what share of flat CLIP's recall the target is.
        lexlip: title of that setting, or None when none reaches the target.
        faiss: title of the FAISS system.
        speed_ratio, memory_ratio: how many times faster (p50, one query at a time) and smaller LexLIP is, or None.
    """

    target: float
    share: float
    lexlip: str | None
    faiss: str
    speed_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True)
class ExampleHit:
    """A picture that a system returned.

    Attributes:
        id: of the image.
        thumbnail: JPEG bytes, or None when the index has none.
        right: whether it is the one the query describes.
        words: (term, share of the score) for the terms that made the score; empty for a dense system.
    """

    id: str
    thumbnail: bytes | None
    right: bool
    words: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ExampleQuery:
    """One caption and what both systems answered."""

    text: str
    lexlip: tuple[ExampleHit, ...]
    clip: tuple[ExampleHit, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that was measured.

    Attributes:
        corpus: location, images, captions.
        quality: "lexlip" and "clip" to exact recall of the models, nothing quantised.
        systems: what was timed; the first "lexlip" and the first "faiss-flat" are the main ones.
        machine: processor, memory, versions.
        command: what a reader types to measure again.
        examples: queries with the answers of both.
    """

    corpus: Mapping[str, str | int]
    quality: Mapping[str, RetrievalEvaluation]
    systems: tuple[SystemResult, ...]
    machine: Mapping[str, str | int]
    command: str
    examples: tuple[ExampleQuery, ...] = ()

    def main(self, name: str, *, batch: bool = False) -> SystemResult:
        """The first system of a name that answers one query at a time, or the first that takes batches."""
        return next(system for system in self.systems if system.name == name and (system.latency.batch > 1) == batch)

    @property
    def speed_ratio(self) -> float:
        """How many times faster LexLIP answers one query than FAISS flat (p50)."""
        return round(self.main("faiss-flat").latency.p50_us / self.main("lexlip").latency.p50_us, 2)

    @property
    def throughput_ratio(self) -> float:
        """How many times more queries a second LexLIP answers in batches than FAISS flat through BLAS."""
        return round(self.main("lexlip", batch=True).latency.qps / self.main("faiss-flat", batch=True).latency.qps, 2)

    @property
    def memory_ratio(self) -> float:
        """How many times smaller the index of LexLIP is than the dense vectors."""
        return round(self.main("faiss-flat").bytes_per_image / self.main("lexlip").bytes_per_image, 2)

    @property
    def equal_recall(self) -> list[EqualRecall]:
        """For each share of flat CLIP's recall the fastest LexLIP setting that reaches it."""
        flat = self.main("faiss-flat")
        singles = [system for system in self.systems if system.name == "lexlip" and system.latency.batch == 1]
        found = []
        for share in RECALL_TARGETS:
            target = round(share * flat.recall.r10, 2)
            reaching = [system for system in singles if system.recall.r10 >= target]
            best = min(reaching, key=lambda system: system.latency.p50_us, default=None)
            found.append(
                EqualRecall(
                    target=target,
                    share=share,
                    lexlip=best.title if best else None,
                    faiss=flat.title,
                    speed_ratio=round(flat.latency.p50_us / best.latency.p50_us, 2) if best else None,
                    memory_ratio=round(flat.bytes_per_image / best.bytes_per_image, 2) if best else None,
                )
            )
        return found

    def to_json(self) -> dict:
        """`{"corpus", "quality", "systems", "equal_recall", "speed_ratio", ...}`."""
        return {
            "corpus": dict(self.corpus),
            "quality": {name: evaluation.to_json() for name, evaluation in self.quality.items()},
            "systems": [system.to_json() for system in self.systems],
            "equal_recall": [asdict(row) for row in self.equal_recall],
            "speed_ratio": self.speed_ratio,
            "throughput_ratio": self.throughput_ratio,
            "memory_ratio": self.memory_ratio,
            "machine": dict(self.machine),
            "command": self.command,
        }
