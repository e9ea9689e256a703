"""What follows from the measurements: the cheapest settings at equal recall, what holds, and where LexLIP is behind."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from lexlip.report.results import FAMILY_TITLES, FLAT, LEXLIP, Comparison, SystemResult

RECALL_TARGETS = (1.0, 0.99, 0.95)  # shares of flat CLIP's recall at 10
PUBLISHED_SPEED, PUBLISHED_MEMORY = 221.3, 48.8  # the largest ratios of arXiv 2302.02908, first version
COSTS: dict[str, Callable[[SystemResult], float]] = {
    "fastest": lambda system: system.latency.p50_us,
    "smallest": lambda system: system.bytes_per_document,
}


@dataclass(frozen=True)
class EqualRecall:
    """The cheapest LexLIP setting that reaches a recall, beside the cheapest setting of a FAISS index that does.

    Attributes:
        by: "fastest" (p50, one query at a time) or "smallest" (bytes a document).
        target: recall at 10 to reach, in percent.
        share: what share of flat CLIP's recall the target is.
        family: the FAISS index.
        lexlip, faiss: titles of the settings, or None when none reaches the target.
        lexlip_p50_us, faiss_p50_us, lexlip_bytes, faiss_bytes: what they take, or None.
        speed_ratio, memory_ratio: how many times faster and smaller the LexLIP setting is, or None.
    """

    by: str
    target: float
    share: float
    family: str
    lexlip: str | None
    faiss: str | None
    lexlip_p50_us: float | None
    faiss_p50_us: float | None
    lexlip_bytes: float | None
    faiss_bytes: float | None
    speed_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True)
class Claim:
    """A statement about the measurements.

    Attributes:
        text: what is claimed.
        holds: whether it is so here.
        detail: the figures.
    """

    text: str
    holds: bool
    detail: str


def equal_recall(comparison: Comparison) -> list[EqualRecall]:
    """For each way to be cheap, each share of flat CLIP's recall, and each FAISS index."""
    flat = comparison.main(FLAT)
    found = []
    for by, cost in COSTS.items():
        for share in RECALL_TARGETS:
            target = round(share * flat.recall.r10, 2)
            lexlip = cheapest(comparison.family(LEXLIP), target, cost)
            for name in comparison.names:
                if name != LEXLIP:
                    faiss = cheapest(comparison.family(name), target, cost)
                    found.append(_beside(by, target, share, name, lexlip, faiss))
    return found


def cheapest(
    systems: Sequence[SystemResult], target: float, cost: Callable[[SystemResult], float]
) -> SystemResult | None:
    """The cheapest of the systems whose recall at 10 reaches the target, or None."""
    return min((system for system in systems if system.recall.r10 >= target), key=cost, default=None)


def _beside(
    by: str, target: float, share: float, name: str, lexlip: SystemResult | None, faiss: SystemResult | None
) -> EqualRecall:
    speed_ratio = memory_ratio = None
    if lexlip is not None and faiss is not None:
        speed_ratio = round(faiss.latency.p50_us / lexlip.latency.p50_us, 2)
        memory_ratio = round(faiss.bytes_per_document / lexlip.bytes_per_document, 2)
    return EqualRecall(
        by=by,
        target=target,
        share=share,
        family=name,
        lexlip=lexlip.title if lexlip else None,
        faiss=faiss.title if faiss else None,
        lexlip_p50_us=lexlip.latency.p50_us if lexlip else None,
        faiss_p50_us=faiss.latency.p50_us if faiss else None,
        lexlip_bytes=round(lexlip.bytes_per_document, 1) if lexlip else None,
        faiss_bytes=round(faiss.bytes_per_document, 1) if faiss else None,
        speed_ratio=speed_ratio,
        memory_ratio=memory_ratio,
    )


def beats(lexlip: SystemResult, faiss: SystemResult) -> bool:
    """Whether a LexLIP setting is faster and smaller at a recall no lower."""
    return (
        lexlip.recall.r10 >= faiss.recall.r10
        and lexlip.latency.p50_us < faiss.latency.p50_us
        and lexlip.bytes_per_document < faiss.bytes_per_document
    )


def claims(comparison: Comparison) -> list[Claim]:
    """The published claims at recall no lower than flat CLIP's, and each FAISS index at its own recall."""
    flat, settings = comparison.main(FLAT), comparison.family(LEXLIP)
    best = max(settings, key=lambda system: system.recall.r10)
    equals = [system for system in settings if system.recall.r10 >= flat.recall.r10]
    speed = max((flat.latency.p50_us / system.latency.p50_us for system in equals), default=None)
    memory = max((flat.bytes_per_document / system.bytes_per_document for system in equals), default=None)
    together = [
        system
        for system in equals
        if flat.latency.p50_us >= PUBLISHED_SPEED * system.latency.p50_us
        and flat.bytes_per_document >= PUBLISHED_MEMORY * system.bytes_per_document
    ]
    none = "no setting reaches that recall"
    found = [
        Claim(
            "Recall at 10 no lower than flat CLIP's",
            bool(equals),
            f"{best.recall.r10:.1f} % ({best.short_title}) against {flat.recall.r10:.1f} %",
        ),
        Claim(
            f"At that recall, at least {PUBLISHED_SPEED:g} times faster than FAISS flat, one query at a time",
            speed is not None and speed >= PUBLISHED_SPEED,
            none if speed is None else f"{speed:,.1f} times",
        ),
        Claim(
            f"At that recall, at least {PUBLISHED_MEMORY:g} times smaller than the float vectors",
            memory is not None and memory >= PUBLISHED_MEMORY,
            none if memory is None else f"{memory:,.1f} times",
        ),
        Claim(
            "Both in one and the same setting",
            bool(together),
            together[0].short_title if together else "no setting does both" if equals else none,
        ),
    ]
    for name in comparison.names:
        if name != LEXLIP:
            rivals = comparison.family(name)
            beaten = [faiss for faiss in rivals if any(beats(system, faiss) for system in settings)]
            found.append(
                Claim(
                    f"Faster and smaller than {FAMILY_TITLES.get(name, name)} at its own recall",
                    len(beaten) == len(rivals),
                    f"{len(beaten)} of {len(rivals)} setting(s)",
                )
            )
    return found


def where_behind(comparison: Comparison) -> list[str]:
    """Every respect in which a rival is ahead, in sentences."""
    flat, settings = comparison.main(FLAT), comparison.family(LEXLIP)
    found = _quality_behind(comparison)
    best = max(settings, key=lambda system: system.recall.r10)
    if best.recall.r10 < flat.recall.r10:
        found.append(
            f"No setting of the index reaches the recall at 10 of flat CLIP: {best.recall.r10:.1f} % at best, against "
            f"{flat.recall.r10:.1f} %."
        )
    for name in comparison.names:
        if name != LEXLIP:
            found += _family_ahead(comparison, name, settings)
    lexlip_rate = _best_rate(comparison, LEXLIP, flat.recall.r10)
    flat_rate = _best_rate(comparison, FLAT, flat.recall.r10)
    if lexlip_rate is not None and flat_rate is not None and flat_rate.latency.qps > lexlip_rate.latency.qps:
        found.append(
            f"At flat CLIP's recall, FAISS flat in batches answers {flat_rate.latency.qps:,.0f} queries a second, "
            f"LexLIP {lexlip_rate.latency.qps:,.0f} at most."
        )
    main = comparison.main(LEXLIP)
    if main.build_seconds > flat.build_seconds:
        found.append(
            f"Building the index takes longer: {main.build_seconds:,.1f} s ({main.short_title}), against "
            f"{flat.build_seconds:,.1f} s for FAISS flat, which only copies vectors."
        )
    return found


def _quality_behind(comparison: Comparison) -> list[str]:
    found = []
    lexlip, clip = comparison.quality["lexlip"], comparison.quality["clip"]
    for attribute, words in (("text_to_image", "text to image"), ("image_to_text", "image to text")):
        ours, theirs = getattr(lexlip, attribute), getattr(clip, attribute)
        behind = [
            f"R@{cutoff[1:]} {getattr(ours, cutoff):.1f} against {getattr(theirs, cutoff):.1f}"
            for cutoff in ("r1", "r5", "r10")
            if getattr(ours, cutoff) < getattr(theirs, cutoff)
        ]
        if behind:
            found.append(f"The model itself, before any index, finds less from {words}: {', '.join(behind)}.")
    return found


def _family_ahead(comparison: Comparison, name: str, settings: Sequence[SystemResult]) -> list[str]:
    unbeaten = [faiss for faiss in comparison.family(name) if not any(beats(system, faiss) for system in settings)]
    found = []
    for faiss in unbeaten:
        reaching = [system for system in settings if system.recall.r10 >= faiss.recall.r10]
        if not reaching:
            reason = "a recall that no LexLIP setting reaches"
        else:
            fastest, smallest = (min(reaching, key=cost) for cost in COSTS.values())
            reason = (
                f"of the LexLIP settings with its recall the fastest takes {fastest.latency.p50_us:,.0f} us and "
                f"{fastest.bytes_per_document:,.0f} bytes, the smallest {smallest.latency.p50_us:,.0f} us and "
                f"{smallest.bytes_per_document:,.0f} bytes"
            )
        found.append(
            f"{faiss.title} ({faiss.recall.r10:.1f} %, {faiss.latency.p50_us:,.0f} us, "
            f"{faiss.bytes_per_document:,.0f} bytes): {reason}."
        )
    return found


def _best_rate(comparison: Comparison, name: str, target: float) -> SystemResult | None:
    systems = [system for system in comparison.family(name, single=False) if system.recall.r10 >= target]
    return max(systems, key=lambda system: system.latency.qps, default=None)


def comparison_record(comparison: Comparison) -> dict:
    """The whole comparison as JSON: `{"corpus", "quality", "systems", "equal_recall", "claims", "growth", ...}`."""
    return {
        "corpus": comparison.corpus.to_json(),
        "quality": {name: evaluation.to_json() for name, evaluation in comparison.quality.items()},
        "systems": [system.to_json() for system in comparison.systems],
        "equal_recall": [asdict(row) for row in equal_recall(comparison)],
        "claims": [asdict(claim) for claim in claims(comparison)],
        "where_behind": where_behind(comparison),
        "growth": [point.to_json() for point in comparison.growth],
        "bm25": comparison.lexical.to_json() if comparison.lexical is not None else None,
        "left_out": dict(comparison.left_out or {}),
        "speed_ratio": comparison.speed_ratio,
        "throughput_ratio": comparison.throughput_ratio,
        "memory_ratio": comparison.memory_ratio,
        "machine": dict(comparison.machine),
        "settings": dict(comparison.settings),
        "command": comparison.command,
    }
