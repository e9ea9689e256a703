"""The comparison page: complete, self-contained, and safe with what people write in captions."""

import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from lexlip.evaluation.recall import Recall
from lexlip.evaluation.retrieval import RetrievalEvaluation, TermCounts
from lexlip.evaluation.timing import Latency
from lexlip.report.comparison_page import comparison_page
from lexlip.report.results import (
    ComparedCorpus,
    Comparison,
    ExampleHit,
    ExampleQuery,
    GrowthPoint,
    LexicalBaseline,
    SystemResult,
)
from lexlip.report.verdicts import claims, comparison_record, equal_recall, where_behind

VOID_TAGS = {"meta", "img", "rect", "line", "circle", "polyline", "polygon", "br"}


def thumbnail(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def latency(p50: float, batch: int = 1) -> Latency:
    return Latency(p50, 3 * p50, 1e6 / p50, batch, 500)


def system(name: str, recall: float, p50: float, size: float, batch: int = 1, **setting: str | int) -> SystemResult:
    given = {**setting, "batch": batch} if batch > 1 else setting
    return SystemResult(name, given, Recall(recall / 3, recall / 2, recall), latency(p50, batch), size, 1.5)


@pytest.fixture
def comparison() -> Comparison:
    lexlip = RetrievalEvaluation(Recall(30, 60, 75), Recall(35, 65, 80), 500, 2500, TermCounts(32, 14.5), 61.0)
    clip = RetrievalEvaluation(Recall(33, 66, 78), Recall(38, 70, 84), 500, 2500)
    words = (("dog", 0.62), ("<b>red</b>", 0.38))
    hits = tuple(ExampleHit(f"image-{n}", n == 1, thumbnail("teal"), words=words) for n in range(5))
    misses = tuple(ExampleHit(f"image-{n}", False) for n in range(5))
    setting = {"document_terms": 32, "impact_bits": 8}
    return Comparison(
        corpus=ComparedCorpus(
            "out/demo/data/val",
            "text-to-image",
            9000,
            500,
            500,
            8000,
            500,
            2500,
            1000,
            50.3,
            14.5,
            {"lexlip": 90.0, "faiss-flat": 92.0},
        ),
        quality={"lexlip": lexlip, "clip": clip},
        systems=(
            system("lexlip", 77.5, 25, 70, query_terms="all", **setting),
            system("lexlip", 66, 15, 60, query_terms=8, **setting),
            system("lexlip", 77.5, 20, 70, batch=256, query_terms="all", **setting),
            system("faiss-flat", 78, 260, 2048),
            system("faiss-flat", 78, 12, 2048, batch=256),
            system("faiss-hnsw", 77, 20, 2300, ef_search=64),
            system("faiss-hnsw", 60, 40, 2300, ef_search=16),
        ),
        growth=tuple(
            GrowthPoint(size, title, name, latency(p50), bytes_each)
            for name, title, bytes_each in (
                ("lexlip", "LexLIP, 32 terms a document", 70),
                ("faiss-flat", "FAISS flat", 2048),
            )
            for size, p50 in ((1000, 20), (9000, 25))
        ),
        lexical=LexicalBaseline(Recall(50, 70, 80), latency(90), 1000, 500),
        left_out={"faiss-ivfpq": "too few <vectors>"},
        machine={"processor": "a processor", "cores": 2},
        settings={"seed": 0},
        command="python pipelines/compare_clip.py",
        examples=(ExampleQuery('a dog <script>alert("x")</script> & a ball', hits, misses),),
    )


class Balanced(HTMLParser):
    """Fails on a closing tag that does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in VOID_TAGS or self.get_starttag_text().startswith(("<circle", "<rect", "<polygon")):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"meta", "img", "br"}:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_from_outside(comparison: Comparison) -> None:
    page = comparison_page(comparison)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(", page)


def test_captions_and_words_are_shown_as_text(comparison: Comparison) -> None:
    page = comparison_page(comparison)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;red&lt;/b&gt; <em>38%</em>" in page
    assert "too few &lt;vectors&gt;" in page


def test_the_page_tells_what_was_drawn_and_left_out_and_where_it_is_behind(comparison: Comparison) -> None:
    page = comparison_page(comparison)
    assert "8,000 documents are drawn" in page
    assert "90.0 % of LexLIP&#x27;s wrong" in page or "90.0 % of LexLIP's wrong" in page
    assert "Not measured" in page
    for sentence in where_behind(comparison):
        assert sentence.split("'")[0] in page
    assert page.count("<svg") == 6
    assert "prefers-color-scheme: dark" in page


def test_the_record_has_the_documented_keys(comparison: Comparison) -> None:
    record = comparison_record(comparison)
    assert record["speed_ratio"] == pytest.approx(260 / 25)
    assert record["throughput_ratio"] == pytest.approx(12 / 20, abs=0.01)
    assert record["memory_ratio"] == pytest.approx(2048 / 70, abs=0.01)
    keys = {"name", "setting", "recall", "p50_us", "p99_us", "qps", "bytes_per_image"}
    assert all(keys <= set(row) for row in record["systems"])
    assert {"target", "lexlip", "faiss", "speed_ratio", "memory_ratio"} <= set(record["equal_recall"][0])
    assert record["corpus"]["drawn"] == 8000


def test_equal_recall_takes_the_cheapest_that_reaches_it_and_says_when_none_does(comparison: Comparison) -> None:
    rows = {(row.by, row.share, row.family): row for row in equal_recall(comparison)}
    exact = rows["fastest", 1.0, "faiss-flat"]
    assert exact.lexlip is None
    assert exact.speed_ratio is None
    assert rows["fastest", 1.0, "faiss-hnsw"].faiss is None
    near = rows["fastest", 0.99, "faiss-flat"]
    assert near.target == pytest.approx(77.22)
    assert (near.speed_ratio, near.memory_ratio) == (10.4, 29.26)
    assert rows["smallest", 0.95, "faiss-hnsw"].memory_ratio == round(2300 / 70, 2)


def test_claims_hold_only_where_measured(comparison: Comparison) -> None:
    found = {claim.text: claim for claim in claims(comparison)}
    assert not found["Recall at 10 no lower than flat CLIP's"].holds
    hnsw = found["Faster and smaller than FAISS HNSW at its own recall"]
    assert (hnsw.holds, hnsw.detail) == (False, "1 of 2 setting(s)")


def test_every_rival_that_is_ahead_is_named(comparison: Comparison) -> None:
    behind = "\n".join(where_behind(comparison))
    assert "No setting of the index reaches the recall at 10 of flat CLIP: 77.5 %" in behind
    assert "FAISS HNSW, efSearch 64 (77.0 %, 20 us, 2,300 bytes)" in behind
    assert "efSearch 16" not in behind
    assert "finds less from text to image" in behind
