"""Pictures of the page: of the tests' own service, or of the served demo for the README.

    make demo
    .venv/bin/serve run serve.app:lexlip &
    LEXLIP_DEMO_URL=http://127.0.0.1:8000 python -m pytest -n 0 tests/serve/test_screenshots.py

Those of the demo are written to docs/, all others to pytest's folder for temporary files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DEMO_URL = os.environ.get("LEXLIP_DEMO_URL")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def pictured_url(request: pytest.FixtureRequest) -> str:
    """The served demo when it is named; only else a service is started."""
    return DEMO_URL or request.getfixturevalue("service_url")


@pytest.fixture
def pictures_folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    return DOCS if DEMO_URL else tmp_path


def look_closer(page: Page) -> None:
    """Opens the first picture and shows where its first word is."""
    page.locator(".card .open").first.click()
    page.locator("#matched button").first.click()
    page.locator("#heat.on").wait_for()
    page.locator("#own .own-word").first.wait_for()


def nothing_more(page: Page) -> None:
    """The page as it is after a search."""


@pytest.mark.parametrize(
    ("name", "address", "width", "height", "scheme", "then"),
    [
        ("page-search", "/?q=red+things+at+the+beach", 1280, 860, "light", nothing_more),
        ("page-dark", "/?q=a+house+in+the+snow", 1280, 860, "dark", nothing_more),
        ("page-detail", "/?q=a+red+umbrella+at+the+beach", 1280, 860, "light", look_closer),
        ("page-phone", "/?q=two+green+trees", 390, 844, "light", nothing_more),
    ],
)
def test_the_page_is_pictured(
    browser: Browser,
    pictured_url: str,
    pictures_folder: Path,
    name: str,
    address: str,
    width: int,
    height: int,
    scheme: str,
    then: Callable[[Page], None],
) -> None:
    context = browser.new_context(
        base_url=pictured_url, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    # The second visit shows what a search takes once everything has been read from disk.
    for _ in range(2):
        page.goto(address)
        page.locator(".card").first.wait_for()
        page.wait_for_load_state("networkidle")
    then(page)
    cards, columns = page.locator(".card").count(), page.evaluate("document.documentElement.scrollWidth")
    picture = pictures_folder / f"{name}.png"
    page.screenshot(path=picture)
    context.close()

    assert cards >= 10
    assert columns <= width
    with Image.open(picture) as opened:
        assert (opened.format, opened.size) == ("PNG", (width, height))
