"""The sections of the page about what recall costs: fronts, equal recall, verdicts, growth, the published figures."""

from collections.abc import Callable, Sequence
from html import escape

from lexlip.evaluation.pareto import pareto_front
from lexlip.report.line_figures import Axis, Line, lines
from lexlip.report.results import FAMILY_TITLES, FLAT, LEXLIP, Comparison, GrowthPoint, SystemResult
from lexlip.report.tables import Row, table
from lexlip.report.verdicts import (
    COSTS,
    PUBLISHED_MEMORY,
    PUBLISHED_SPEED,
    EqualRecall,
    beats,
    claims,
    equal_recall,
    where_behind,
)

NONE = "–"
SIZES_OF_GROWTH = 2  # one size is no growth


def verdict_section(comparison: Comparison) -> str:
    """What holds and what does not, and every respect in which a rival is ahead."""
    rows = [
        Row("lexlip" if claim.holds else "", [claim.text, "yes" if claim.holds else "no", claim.detail])
        for claim in claims(comparison)
    ]
    behind = where_behind(comparison)
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in behind)
    worse = f"<ul>{listed}</ul>" if behind else "<p>In no respect that was measured.</p>"
    return (
        f"<h2>What holds on this corpus</h2>{table(['Claim', 'holds', 'measured'], rows)}"
        f"<h2>Where LexLIP is behind</h2>{worse}"
    )


def fronts_section(comparison: Comparison) -> str:
    """Three figures: recall against time, against bytes, and against queries a second."""
    single = [system for system in comparison.systems if system.single]
    every = list(comparison.systems)
    recall = Axis("R@10, %", logarithmic=False)
    figures = [
        lines(
            _fronts(comparison, single, lambda system: system.latency.p50_us),
            Axis("p50 of a search, microseconds, one query at a time"),
            recall,
            "Recall and time. The line joins the settings of a system that no other of its settings beats; faint marks "
            "are the others. Up and to the left is better. Encoding the query is not included.",
        ),
        lines(
            _fronts(comparison, single, lambda system: system.bytes_per_document),
            Axis("bytes of index a document"),
            recall,
            "Recall and memory. Up and to the left is better. Pictures and captions are stored apart in all systems.",
        ),
        lines(
            _fronts(comparison, every, lambda system: -system.latency.qps, lambda system: system.latency.qps),
            Axis("queries a second on one thread, single or in batches"),
            recall,
            "Recall and throughput. Up and to the right is better.",
        ),
    ]
    return f"<h2>What recall costs</h2>{''.join(figures)}"


def _fronts(
    comparison: Comparison,
    systems: Sequence[SystemResult],
    cost: Callable[[SystemResult], float],
    shown: Callable[[SystemResult], float] | None = None,
) -> list[Line]:
    shown = shown or cost
    found = []
    for name in comparison.names:
        own = [system for system in systems if system.name == name]
        front = pareto_front([cost(system) for system in own], [system.recall.r10 for system in own])
        on_line = sorted((own[number] for number in front), key=shown)
        others = [system for number, system in enumerate(own) if number not in front]
        found.append(
            Line(
                label=FAMILY_TITLES.get(name, name),
                series=name,
                points=[(shown(system), system.recall.r10) for system in on_line],
                titles=[_told(system) for system in on_line],
                others=[(shown(system), system.recall.r10, _told(system)) for system in others],
            )
        )
    return found


def _told(system: SystemResult) -> str:
    return (
        f"{system.title}: R@10 {system.recall.r10:.1f} %, {system.latency.p50_us:,.0f} us, "
        f"{system.latency.qps:,.0f} queries/s, {system.bytes_per_document:,.0f} bytes"
    )


def equal_recall_section(comparison: Comparison) -> str:
    """Tables of the fastest and of the smallest settings that reach flat CLIP's recall, or nearly."""
    rows = equal_recall(comparison)
    header = ["R@10 to reach, and the settings that do", "us", "bytes/document", "LexLIP faster", "smaller"]
    parts = [
        f"<h3>The {by} setting of each</h3>{table(header, _equal_rows([row for row in rows if row.by == by]))}"
        for by in COSTS
    ]
    lead = (
        "<p>The cheapest setting of each system whose recall at 10 reaches that of flat CLIP, and 99 % and 95 % of it. "
        "A ratio below 1 means that FAISS is ahead; a dash, that no setting reaches that recall.</p>"
    )
    return f"<h2>At equal recall</h2>{lead}{''.join(parts)}"


def _equal_rows(rows: Sequence[EqualRecall]) -> list[Row]:
    found = []
    for share in dict.fromkeys(row.share for row in rows):
        own = [row for row in rows if row.share == share]
        first = own[0]
        wanted = "that of flat CLIP" if share == 1 else f"{share:.0%} of it"
        ours = first.lexlip or "LexLIP: no setting reaches it"
        title = f"{wanted}, {first.target:.1f} %: {ours}"
        found.append(Row(LEXLIP, [title, _count(first.lexlip_p50_us), _count(first.lexlip_bytes), "", ""]))
        for row in own:
            theirs = row.faiss or f"{FAMILY_TITLES.get(row.family, row.family)}: no setting reaches it"
            costs = [_count(row.faiss_p50_us), _count(row.faiss_bytes)]
            found.append(Row("", [theirs, *costs, _ratio(row.speed_ratio), _ratio(row.memory_ratio)]))
    return found


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:,.2f}×"


def growth_section(comparison: Comparison) -> str:
    """How time and memory grow with the corpus."""
    if len({point.documents for point in comparison.growth}) < SIZES_OF_GROWTH:
        return ""
    time_caption = "Time of a search over the first documents of the corpus, on logarithmic scales."
    size_caption = "Bytes of index a document. Fixed costs weigh on small corpora."
    documents = Axis("documents")
    rows = [
        Row(
            "lexlip" if point.name == LEXLIP else "clip",
            [
                point.system,
                f"{point.documents:,}",
                f"{point.latency.p50_us:,.1f}",
                f"{point.latency.p99_us:,.1f}",
                f"{point.bytes_per_document:,.1f}",
                f"{point.bytes_per_document * point.documents / 1e6:,.1f}",
            ],
        )
        for point in sorted(comparison.growth, key=lambda point: (point.name != LEXLIP, point.system, point.documents))
    ]
    header = ["System", "documents", "p50 us", "p99 us", "bytes/document", "MB"]
    return (
        "<h2>How it grows</h2>"
        + lines(
            _growing(comparison.growth, lambda point: point.latency.p50_us), documents, Axis("p50, us"), time_caption
        )
        + lines(
            _growing(comparison.growth, lambda point: point.bytes_per_document),
            documents,
            Axis("bytes a document"),
            size_caption,
        )
        + table(header, rows)
    )


def _growing(points: Sequence[GrowthPoint], value: Callable[[GrowthPoint], float]) -> list[Line]:
    found = []
    for system in dict.fromkeys(point.system for point in points):
        own = sorted((point for point in points if point.system == system), key=lambda point: point.documents)
        name = own[0].name
        label = FAMILY_TITLES.get(name, name)
        if name == LEXLIP:
            label = f"LexLIP, {system.split(', ')[1].removesuffix(' a document')}"
        found.append(
            Line(
                label,
                name,
                [(point.documents, value(point)) for point in own],
                [f"{system}: {point.documents:,} documents, {value(point):,.1f}" for point in own],
            )
        )
    return found


def published_section(comparison: Comparison) -> str:
    """The paper's figures beside the main setting, with what differs between the two."""
    corpus, main, flat = comparison.corpus, comparison.main(LEXLIP), comparison.main(FLAT)
    at_par = [row for row in equal_recall(comparison) if row.family == FLAT and row.share == 1]
    ratios = {row.by: row for row in at_par}
    rows = [
        Row("", ["corpus", "1,000 photos of Flickr30k and 1,000,000 more", _corpus_words(comparison)]),
        Row("", ["towers", "of ViT-B and BERT-base size", "those of the models compared here"]),
        Row("", ["beside", "dense CLIP in FAISS", f"dense CLIP in FAISS flat, {flat.bytes_per_document:,.0f} bytes"]),
        Row("", ["range over", "pruning settings, at different recalls", "settings that reach the named recall"]),
        Row(
            "lexlip",
            [
                "times faster",
                f"5.5 to {PUBLISHED_SPEED:g}",
                f"{_ratio(ratios['fastest'].speed_ratio)} at flat CLIP's recall; {comparison.speed_ratio:,.1f}× in the "
                f"main setting, R@10 {main.recall.r10 - flat.recall.r10:+.1f} points",
            ],
        ),
        Row(
            "lexlip",
            [
                "times smaller",
                f"13.2 to {PUBLISHED_MEMORY:g}",
                f"{_ratio(ratios['smallest'].memory_ratio)} at flat CLIP's recall; {comparison.memory_ratio:,.1f}× in "
                "the main setting",
            ],
        ),
    ]
    faiss = [system for system in comparison.systems if system.single and system.name not in (LEXLIP, FLAT)]
    beaten = [system for system in faiss if any(beats(setting, system) for setting in comparison.family(LEXLIP))]
    if faiss:
        rows.append(
            Row(
                "",
                [
                    "beside other FAISS indexes",
                    "not published",
                    f"faster and smaller than {len(beaten)} of {len(faiss)} settings at their own recall",
                ],
            )
        )
    header = ["", "published (arXiv 2302.02908, first version)", f"here, {corpus.documents:,} documents"]
    note = f"<p class='quiet'>The main setting is {escape(main.title)}.</p>"
    return f"<h2>Beside the published figures</h2>{table(header, rows)}{note}"


def _corpus_words(comparison: Comparison) -> str:
    corpus = comparison.corpus
    words = [f"{corpus.answers:,} with right answers", f"{corpus.real:,} real distractors"]
    if corpus.drawn:
        words.append(f"{corpus.drawn:,} drawn")
    return ", ".join(words)
