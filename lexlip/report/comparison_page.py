"""The comparison with dense CLIP as one HTML file that needs nothing from outside."""

from html import escape
from pathlib import Path
from string import Template

from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.report.example_queries import examples_section
from lexlip.report.figures import Bar, bars
from lexlip.report.results import FAMILY_TITLES, FLAT, LEXLIP, Comparison
from lexlip.report.tables import Row, table
from lexlip.report.trade_offs import (
    equal_recall_section,
    fronts_section,
    growth_section,
    published_section,
    verdict_section,
)

TEMPLATE = Path(__file__).with_name("page.html")
NAMES = {"lexlip": "LexLIP", "clip": "CLIP"}
DIRECTIONS = (("text_to_image", "Text to image"), ("image_to_text", "Image to text"))
CUTOFFS = ("r1", "r5", "r10")


def comparison_page(comparison: Comparison) -> str:
    """The whole page."""
    sections = [
        _head(comparison),
        _ratios(comparison),
        verdict_section(comparison),
        _quality(comparison),
        fronts_section(comparison),
        equal_recall_section(comparison),
        growth_section(comparison),
        published_section(comparison),
        _lexical(comparison),
        examples_section(comparison.examples),
        _corpus(comparison),
        _measurements(comparison),
        _machine(comparison),
    ]
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title="LexLIP beside CLIP", body="\n".join(section for section in sections if section))


def _head(comparison: Comparison) -> str:
    corpus = comparison.corpus
    asked = "captions ask for pictures" if corpus.direction == "text-to-image" else "pictures ask for captions"
    return (
        "<h1>LexLIP beside CLIP</h1>"
        f'<p class="lead">{corpus.documents:,} documents, {corpus.queries:,} queries: {asked}. '
        f"{corpus.answers:,} documents are of <code>{escape(corpus.data)}</code> and have queries, {corpus.real:,} are "
        f"real distractors, {corpus.drawn:,} are drawn. LexLIP answers from an inverted index of words, CLIP from "
        "dense vectors in FAISS; each search runs on one thread.</p>"
    )


def _ratios(comparison: Comparison) -> str:
    main, flat = comparison.main(LEXLIP), comparison.main(FLAT)
    recall = main.recall.r10 - flat.recall.r10
    tiles = [
        (f"{comparison.speed_ratio:,.1f}×", "the speed of FAISS flat, one query at a time (p50)"),
        (f"{comparison.throughput_ratio:,.1f}×", "the throughput of FAISS flat in batches through BLAS"),
        (f"{comparison.memory_ratio:,.1f}×", "smaller: bytes of index a document"),
        (f"{recall:+.1f}", "points of recall at 10, index against FAISS flat"),
    ]
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in tiles)
    return (
        f'<div class="ratios">{inner}</div><p class="quiet">{escape(main.title)}, beside {escape(flat.title)}. A ratio '
        "below 1 means that CLIP on FAISS is ahead.</p>"
    )


def _quality(comparison: Comparison) -> str:
    groups, rows = [], []
    for attribute, direction in DIRECTIONS:
        recalls = {name: getattr(evaluation, attribute) for name, evaluation in comparison.quality.items()}
        for cutoff in CUTOFFS:
            values = {name: getattr(found, cutoff) for name, found in recalls.items()}
            title = f"{direction} R@{cutoff[1:]}"
            groups.append(
                [Bar(f"{title}, {NAMES[name]}", value, f"{value:.1f} %", name) for name, value in values.items()]
            )
        for name, found in recalls.items():
            cells = [f"{direction}, {NAMES[name]}", *(f"{getattr(found, cutoff):.2f}" for cutoff in CUTOFFS)]
            rows.append(Row(name, cells))
    caption = (
        "Exact recall of the two models in floating point on the pairs alone, without distractors and before any "
        "index. A caption has one right image; an image counts as found at the rank of its best caption."
    )
    numbers = table(["Recall in %", "R@1", "R@5", "R@10"], rows)
    return f"<h2>What the models find</h2>{bars(groups, caption)}{numbers}{_readable(comparison.quality['lexlip'])}"


def _readable(evaluation: RetrievalEvaluation) -> str:
    if evaluation.terms is None or evaluation.top_terms_in_captions is None:
        return ""
    return (
        f"<p>An image is a vector of {evaluation.terms.image_mean:.1f} words on average, a caption one of "
        f"{evaluation.terms.text_mean:.1f}. Of an image's ten heaviest words, "
        f"{evaluation.top_terms_in_captions:.0f} % occur in what people wrote about it.</p>"
    )


def _lexical(comparison: Comparison) -> str:
    found = comparison.lexical
    if found is None:
        return ""
    row = Row(
        "",
        [
            "BM25 over captions",
            *(f"{getattr(found.recall, cutoff):.1f}" for cutoff in CUTOFFS),
            f"{found.latency.p50_us:,.0f}",
            f"{found.latency.qps:,.0f}",
        ],
    )
    return (
        "<h2>If every picture had captions</h2><p>BM25 over what people wrote about the pictures: one caption of each "
        f"asks, the others are the text that is searched. {found.documents:,} pictures have captions, "
        f"{found.queries:,} ask. Neither model sees captions of what it searches, and drawn documents have none, so "
        f"this is a yardstick and no rival.</p>{table(['', 'R@1', 'R@5', 'R@10', 'p50 us', 'queries/s'], [row])}"
    )


def _corpus(comparison: Comparison) -> str:
    corpus = comparison.corpus
    text = (
        f"<p>{corpus.answers:,} documents have queries that ask for them, {corpus.real:,} more are real and encoded by "
        f"both models. LexLIP's documents have {corpus.document_terms:.1f} terms on average and its queries "
        f"{corpus.query_terms:.1f}, before any cut.</p>"
    )
    if corpus.drawn:
        share = 100.0 * corpus.drawn / (corpus.drawn + corpus.real)
        ours, flat = (corpus.drawn_among_wrong.get(name, 0.0) for name in (LEXLIP, FLAT))
        text += (
            f"<p>{corpus.drawn:,} documents are drawn: each is a mixture of one of {corpus.sources:,} real distractors "
            "with two of its 32 nearest neighbours, nearest by the standardised similarities of both models together, "
            "in random shares. Both models get the same mixtures of the same documents, so they face the same "
            "neighbours; a LexLIP document keeps as many terms as the real one that weighs most in it. Mixtures make "
            "the corpus denser where there are documents already; they bring no new subjects, which a million real "
            "ones would.</p>"
            f"<p>Drawn documents are {share:.1f} % of the distractors, and {ours:.1f} % of LexLIP's wrong answers "
            f"in the first ten, {flat:.1f} % of flat CLIP's. The nearer these are to each other, the less the drawing "
            "favours either side.</p>"
        )
    if comparison.left_out:
        reasons = "".join(
            f"<li>{escape(FAMILY_TITLES.get(name, name))}: {escape(reason)}</li>"
            for name, reason in comparison.left_out.items()
        )
        text += f"<p>Not measured:</p><ul>{reasons}</ul>"
    return f"<h2>What was searched</h2>{text}"


def _measurements(comparison: Comparison) -> str:
    rows = [
        Row(
            "lexlip" if system.name == LEXLIP else "clip",
            [
                system.title,
                f"{system.recall.r1:.1f}",
                f"{system.recall.r5:.1f}",
                f"{system.recall.r10:.1f}",
                f"{system.latency.p50_us:,.1f}",
                f"{system.latency.p99_us:,.1f}",
                f"{system.latency.calls:,}",
                f"{system.latency.qps:,.0f}",
                f"{system.bytes_per_document:,.0f}",
                f"{system.build_seconds:,.1f}",
            ],
        )
        for system in comparison.systems
    ]
    header = ["System", "R@1", "R@5", "R@10", "p50 us", "p99 us", "calls", "queries/s", "bytes/document", "build s"]
    return (
        f"<h2>All measurements</h2><p>Times are of {comparison.corpus.timed_queries:,} queries in interleaved rounds, "
        "of a batch its time divided by its queries. Slow systems answered fewer queries: of few calls, p99 is the "
        "slowest.</p>"
        f"<details><summary>{len(rows)} settings</summary>{table(header, rows)}</details>"
    )


def _machine(comparison: Comparison) -> str:
    facts = {**comparison.machine, **comparison.settings}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f"<h2>Measured on</h2><dl>{rows}<dt>command</dt><dd><code>{escape(comparison.command)}</code></dd></dl>"
