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
from lexlip.report.results import Comparison, ExampleHit, ExampleQuery, SystemResult

VOID_TAGS = {"meta", "img", "rect", "line", "circle", "br"}


def thumbnail(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def system(name: str, recall: float, p50: float, size: float, batch: int = 1, **setting: str | int) -> SystemResult:
    latency = Latency(p50, 3 * p50, 1e6 / p50, batch)
    return SystemResult(name, setting, Recall(recall / 3, recall / 2, recall), latency, size)


@pytest.fixture
def comparison() -> Comparison:
    lexlip = RetrievalEvaluation(Recall(30, 60, 75), Recall(35, 65, 80), 500, 2500, TermCounts(32, 14.5), 61.0)
    clip = RetrievalEvaluation(Recall(33, 66, 78), Recall(38, 70, 84), 500, 2500)
    words = (("dog", 0.62), ("<b>red</b>", 0.38))
    hits = tuple(ExampleHit(f"image-{n}", thumbnail("teal"), n == 1, words) for n in range(5))
    misses = tuple(ExampleHit(f"image-{n}", None, False) for n in range(5))
    return Comparison(
        corpus={"data": "out/demo/data/val", "images": 500, "captions": 2500},
        quality={"lexlip": lexlip, "clip": clip},
        systems=(
            system("lexlip", 74, 25, 70, query_terms="all"),
            system("lexlip", 66, 15, 70, query_terms=8),
            system("lexlip", 74, 12, 70, batch=256, query_terms="all"),
            system("faiss-flat", 78, 260, 2048),
            system("faiss-flat", 78, 20, 2048, batch=256),
        ),
        machine={"processor": "a processor", "cores": 2},
        command="python pipelines/compare_clip.py",
        examples=(ExampleQuery('a dog <script>alert("x")</script> & a ball', hits, misses),),
    )


class Balanced(HTMLParser):
    """Fails on a closing tag that does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
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


def test_both_colour_schemes_are_there(comparison: Comparison) -> None:
    assert "prefers-color-scheme: dark" in comparison_page(comparison)


def test_the_ratios_are_those_of_the_main_settings(comparison: Comparison) -> None:
    record = comparison.to_json()
    assert record["speed_ratio"] == pytest.approx(260 / 25)
    assert record["throughput_ratio"] == pytest.approx(20 / 12, abs=0.01)
    assert record["memory_ratio"] == pytest.approx(2048 / 70, abs=0.01)
    keys = {"name", "setting", "recall", "p50_us", "p99_us", "qps", "bytes_per_image"}
    assert all(set(row) == keys for row in record["systems"])


def test_equal_recall_says_so_when_no_setting_reaches_it(comparison: Comparison) -> None:
    exact, near, _ = comparison.equal_recall
    assert exact.lexlip is None
    assert exact.speed_ratio is None
    assert near.share == 0.99
    reachable = comparison.equal_recall[-1]
    assert reachable.target == pytest.approx(0.95 * 78)
    assert reachable.lexlip is None or reachable.speed_ratio is not None
    assert "no setting of this index reaches it" in comparison_page(comparison)
