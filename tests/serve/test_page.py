"""The page in a real browser: a person searches, weighs words, looks closer, and comes back by the address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from serve.schemas import LARGEST_K

if TYPE_CHECKING:
    from conftest import ServedCorpus
    from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: Browser, service_url: str) -> Iterator[Page]:
    """A fresh page of the service; an error in its scripts fails the test, and so does a request to anywhere else."""
    context = browser.new_context(base_url=service_url, viewport={"width": 1280, "height": 860})
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "request",
        lambda request: request.url.startswith((service_url, "blob:", "data:")) or problems.append(request.url),
    )
    yield opened
    context.close()
    assert problems == []


def shown(page: Page) -> list[str]:
    """The ids of the pictures in the grid, in their order."""
    return [card.get_attribute("data-id") or "" for card in page.locator(".card").all()]


def test_searching_as_one_types_weighing_words_and_coming_back_by_address(page: Page, client: httpx.Client) -> None:
    page.goto("/")
    page.locator("#empty h2").wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("two red cars", delay=5)
    page.locator(".card").first.wait_for()
    page.wait_for_url(re.compile(r"\?q=two\+red\+cars$"))
    page.locator("#status", has_text="generation").wait_for()
    expected = client.get("/search", params={"q": "two red cars", "k": 24}).json()
    assert shown(page) == [hit["id"] for hit in expected["hits"]]

    page.locator(".chip").first.focus()
    page.keyboard.press("-")
    page.wait_for_url(re.compile(r"[?&]t="))
    page.locator(".chip.excluded").wait_for()
    page.wait_for_load_state("networkidle")
    changed, address = shown(page), page.url
    assert changed != [hit["id"] for hit in expected["hits"]]

    page.goto("about:blank")
    page.goto(address)
    page.locator("#chips .chip").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert shown(page) == changed


def test_a_picture_shows_its_words_where_they_are_and_what_is_like_it(page: Page) -> None:
    page.goto("/?q=a+green+tree")
    page.locator(".card .open").first.click()
    page.locator("#matched button").first.click()
    page.locator("#heat.on").wait_for()
    page.locator("#own .own-word").first.wait_for()
    opened = page.locator("#name").inner_text()
    page.keyboard.press("ArrowRight")
    page.locator("#name").filter(has_not_text=opened).wait_for()

    following = page.locator("#name").inner_text()
    page.keyboard.press("m")
    page.locator("#status", has_text="like ").wait_for()
    assert following not in shown(page)


def test_a_dropped_picture_becomes_words(page: Page, served_corpus: ServedCorpus, tmp_path: Path) -> None:
    picture = tmp_path / "mine.jpg"
    picture.write_bytes(served_corpus.pictures[served_corpus.odd_id])
    page.goto("/")
    page.set_input_files("#file", str(picture))
    page.locator(".card").first.wait_for()

    assert shown(page)[0] == served_corpus.odd_id
    assert page.locator("#chips .chip").count() > 3


def test_captions_count_as_much_as_the_slider_says_and_are_quoted(page: Page, client: httpx.Client) -> None:
    page.goto("/?q=a+green+tree")
    page.locator("#captions-share").wait_for()
    page.locator(".card").first.wait_for()
    page.locator("#share").fill("0.6")
    page.wait_for_url(re.compile(r"[?&]captions=.6"))
    page.locator(".split .captions").first.wait_for()
    page.wait_for_load_state("networkidle")

    expected = client.get("/search", params={"q": "a green tree", "k": 24, "captions": 0.6}).json()
    assert shown(page) == [hit["id"] for hit in expected["hits"]]
    page.locator(".card .open").first.click()
    assert "“" in page.locator("#matched").inner_text()


def test_when_no_picture_shares_a_word_the_page_says_so(page: Page, served_corpus: ServedCorpus) -> None:
    index, vocabulary = served_corpus.open(), served_corpus.model.vocabulary
    used = {int(term) for position in range(index.documents) for term in index.vector(position).terms}
    unused = next(
        term for number, term in enumerate(vocabulary.terms) if number not in used and term.isalpha() and len(term) > 1
    )
    page.goto(f"/?t={unused}:1")

    page.get_by_text("No image shares a word with this query.").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_page_fits_a_phone_and_the_dark(browser: Browser, service_url: str, width: int, scheme: str) -> None:
    context = browser.new_context(base_url=service_url, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto("/?q=a+blue+boat")
    page.locator(".card").first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lightness = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (float(re.findall(r"[\d.]+", lightness)[0]) < 0.5) == (scheme == "dark")
    context.close()


def test_the_interface_is_described_without_a_network(page: Page, client: httpx.Client) -> None:
    page.goto("/docs")
    page.locator("#routes section").first.wait_for()
    described = client.get("/openapi.json").json()["paths"]
    expected = [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]
    assert page.locator("#routes h2").all_inner_texts() == expected
    search = page.locator("section", has=page.locator("h2", has_text="GET /search"))
    assert f"integer 1..{LARGEST_K}" in search.inner_text()
