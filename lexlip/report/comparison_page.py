"""The comparison with dense CLIP as one HTML file that needs nothing from outside."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.report.figures import Bar, Point, Span, bars, scatter, spans
from lexlip.report.results import Comparison, ExampleHit, ExampleQuery, SystemResult
from lexlip.report.tables import Row, table

TEMPLATE = Path(__file__).with_name("page.html")
NAMES = {"lexlip": "LexLIP", "clip": "CLIP"}
DIRECTIONS = (("text_to_image", "Text to image"), ("image_to_text", "Image to text"))
CUTOFFS = ("r1", "r5", "r10")
SHOWN_WORDS = 5
KEY = (
    '<p><span class="key"><i style="background:var(--lexlip)"></i>LexLIP, inverted index</span>'
    '<span class="key"><i style="background:var(--clip)"></i>CLIP, same towers, FAISS</span></p>'
)


def comparison_page(comparison: Comparison) -> str:
    """The whole page."""
    sections = [
        _head(comparison),
        _ratios(comparison),
        _quality(comparison),
        _speed(comparison),
        _size(comparison),
        _equal_recall(comparison),
        _examples(comparison.examples),
        _machine(comparison),
    ]
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title="LexLIP beside CLIP", body="\n".join(section for section in sections if section))


def _head(comparison: Comparison) -> str:
    corpus = comparison.corpus
    return (
        "<h1>LexLIP beside CLIP</h1>"
        f'<p class="lead">{corpus["images"]:,} images and {corpus["captions"]:,} captions of '
        f"<code>{escape(str(corpus['data']))}</code>. Both models have the same towers and saw the "
        "same data; LexLIP answers from an inverted index of words, CLIP from dense vectors in FAISS.</p>" + KEY
    )


def _ratios(comparison: Comparison) -> str:
    lexlip, flat = comparison.main("lexlip"), comparison.main("faiss-flat")
    recall = lexlip.recall.r10 - flat.recall.r10
    tiles = [
        (f"{comparison.speed_ratio:,.1f}×", "the speed of FAISS flat, one query at a time (p50)"),
        (f"{comparison.throughput_ratio:,.1f}×", "the throughput of FAISS flat in batches through BLAS"),
        (f"{comparison.memory_ratio:,.1f}×", "smaller: bytes of index per image"),
        (f"{recall:+.1f}", "points of text-to-image recall at 10, index against FAISS flat"),
    ]
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in tiles)
    return f'<div class="ratios">{inner}</div><p class="quiet">A ratio below 1 means that CLIP on FAISS is ahead.</p>'


def _quality(comparison: Comparison) -> str:
    groups, rows = [], []
    for attribute, direction in DIRECTIONS:
        recalls = {name: getattr(evaluation, attribute) for name, evaluation in comparison.quality.items()}
        for cutoff in CUTOFFS:
            title, values = (
                f"{direction} R@{cutoff[1:]}",
                {name: getattr(found, cutoff) for name, found in recalls.items()},
            )
            groups.append(
                [Bar(f"{title}, {NAMES[name]}", value, f"{value:.1f} %", name) for name, value in values.items()]
            )
        for name, found in recalls.items():
            rows.append(
                Row(name, [f"{direction}, {NAMES[name]}", *(f"{getattr(found, cutoff):.2f}" for cutoff in CUTOFFS)])
            )
    caption = (
        "Exact recall of the two models in floating point, before any index. A caption has one right image; an image "
        "counts as found at the rank of its best caption."
    )
    numbers = table(["Recall in %", "R@1", "R@5", "R@10"], rows)
    return f"<h2>What they find</h2>{bars(groups, caption)}{numbers}{_readable(comparison.quality['lexlip'])}"


def _readable(evaluation: RetrievalEvaluation) -> str:
    if evaluation.terms is None or evaluation.top_terms_in_captions is None:
        return ""
    return (
        f"<p>An image is a vector of {evaluation.terms.image_mean:.1f} words on average, a caption one of "
        f"{evaluation.terms.text_mean:.1f}. Of an image's ten heaviest words, "
        f"{evaluation.top_terms_in_captions:.0f} % occur in what people wrote about it.</p>"
    )


def _speed(comparison: Comparison) -> str:
    def text(system: SystemResult) -> str:
        return f"{system.latency.p50_us:,.0f} / {system.latency.p99_us:,.0f}"

    ranges = [
        Span(system.title, system.latency.p50_us, system.latency.p99_us, text(system), _series(system))
        for system in comparison.systems
    ]
    points = [
        Point(system.title, system.latency.p50_us, system.recall.r10, _series(system))
        for system in comparison.systems
        if system.latency.batch == 1
    ]
    rows = [
        Row(
            _series(system),
            [
                system.title,
                f"{system.recall.r1:.1f}",
                f"{system.recall.r5:.1f}",
                f"{system.recall.r10:.1f}",
                f"{system.latency.p50_us:,.1f}",
                f"{system.latency.p99_us:,.1f}",
                f"{system.latency.qps:,.0f}",
                f"{system.bytes_per_image:,.0f}",
            ],
        )
        for system in comparison.systems
    ]
    header = ["System", "R@1", "R@5", "R@10", "p50 µs", "p99 µs", "queries/s", "bytes/image"]
    range_caption = (
        "Time of a search, p50 (filled) to p99 (open), on a logarithmic scale; in batches, the time of a batch divided "
        "by its queries. Encoding the query is not included: it takes the same text tower in both systems."
    )
    scatter_caption = "Recall and time of the settings that answer one query at a time. Up and to the left is better."
    return (
        f"<h2>How fast</h2>{spans(ranges, 'microseconds a query', range_caption)}"
        f"{scatter(points, 'p50 of a search, microseconds', 'R@10, %', scatter_caption)}{table(header, rows)}"
    )


def _size(comparison: Comparison) -> str:
    lexlip, flat = comparison.main("lexlip"), comparison.main("faiss-flat")
    pairs = ((lexlip, "LexLIP, postings and id map"), (flat, "FAISS flat, float32"))
    drawn = [
        Bar(label, system.bytes_per_image, f"{system.bytes_per_image:,.0f} bytes", _series(system))
        for system, label in pairs
    ]
    caption = "Bytes of index per image. Pictures and captions are stored apart in both cases."
    return f"<h2>How large</h2>{bars([drawn], caption)}"


def _equal_recall(comparison: Comparison) -> str:
    rows = []
    for equal in comparison.equal_recall:
        wanted = "flat CLIP" if equal.share == 1 else f"{equal.share:.0%} of flat CLIP"
        if equal.lexlip is None:
            cells = ["no setting of this index reaches it", "–", "–"]
        else:
            cells = [equal.lexlip, f"{equal.speed_ratio:,.2f}×", f"{equal.memory_ratio:,.2f}×"]
        rows.append(Row("", [f"{wanted}: {equal.target:.1f} %", *cells]))
    header = ["R@10 to reach", "Fastest LexLIP setting", "faster than FAISS flat", "smaller"]
    return f"<h2>At equal recall</h2>{table(header, rows)}"


def _examples(examples: Sequence[ExampleQuery]) -> str:
    if not examples:
        return ""
    blocks = []
    for example in examples:
        sides = [
            f'<div class="side"><span class="quiet">{NAMES[name]}</span><div class="hits">'
            f"{''.join(_hit(hit) for hit in hits)}</div></div>"
            for name, hits in (("lexlip", example.lexlip), ("clip", example.clip))
        ]
        blocks.append(f'<div class="query"><h3>{escape(example.text)}</h3>{"".join(sides)}</div>')
    lead = (
        "<p>The picture that a caption was written for is outlined. Below LexLIP's pictures stand the words that made "
        "the score, each with its share of it. Captions were drawn at random, hits and misses of both alike.</p>"
    )
    return f"<h2>Queries and answers</h2>{lead}{''.join(blocks)}"


def _hit(hit: ExampleHit) -> str:
    if hit.thumbnail is None:
        picture = f'<div class="missing" title="{escape(hit.id)}"></div>'
    else:
        data = base64.b64encode(hit.thumbnail).decode("ascii")
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(hit.id)}" title="{escape(hit.id)}">'
    words = "".join(f"<span>{escape(word)} <em>{share:.0%}</em></span>" for word, share in hit.words[:SHOWN_WORDS])
    below = f'<div class="words">{words}</div>' if words else ""
    return f'<div class="hit{" right" if hit.right else ""}">{picture}{below}</div>'


def _machine(comparison: Comparison) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in comparison.machine.items()
    )
    return f"<h2>Measured on</h2><dl>{rows}<dt>command</dt><dd><code>{escape(comparison.command)}</code></dd></dl>"


def _series(system: SystemResult) -> str:
    return "lexlip" if system.name == "lexlip" else "clip"
