"""The page in a real browser: a person searches, weighs words, looks closer, and comes back by the address."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from serve.schemas import LARGEST_K

if TYPE_CHECKING:
    from conftest import ServedCorpus
    from playwright.sync_api import Browser, JSHandle, Locator, Page, Route

SEARCHES = re.compile(r"/search(\?|$)")
START = "What should the picture show?"
# The page asks for this many pictures at first.
FIRST_PICTURES = 24
# The vocabulary of the tests splits "skateboard" and "cars".
SPLIT_QUERY = "/?q=a+skateboard+near+cars"


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
    return page.evaluate("[...document.querySelectorAll('.card')].map((card) => card.dataset.id)")


def wait_for(page: Page, holds: Callable[[], bool], seconds: float = 15) -> None:
    """Lets the browser work until something holds, but not for ever."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        page.wait_for_timeout(50)


def assert_shows(page: Page, expected: list[str]) -> None:
    """Waits until the grid shows these pictures in this order."""
    wait_for(page, lambda: shown(page) == expected)
    assert shown(page) == expected


def found(client: httpx.Client, terms: dict[str, float], k: int = FIRST_PICTURES) -> list[str]:
    """The ids that the service finds for terms."""
    answer = client.post("/search", json={"terms": terms, "k": k})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def found_by_text(client: httpx.Client, text: str, k: int = FIRST_PICTURES) -> list[str]:
    """The ids that the service finds for words."""
    return [hit["id"] for hit in client.get("/search", params={"q": text, "k": k}).json()["hits"]]


def words_in(address: str) -> dict[str, dict[str, float]]:
    """The words that an address holds, each with the weights of its pieces."""
    words = {}
    for part in parse_qs(urlsplit(address).query)["t"][0].split(","):
        word, *rest = part.split(":")
        pieces = rest if len(rest) > 1 else [word, *rest]
        words[unquote(word)] = dict(zip(map(unquote, pieces[::2]), map(float, pieces[1::2]), strict=True))
    return words


def terms_in(address: str) -> dict[str, float]:
    """The terms that the page searches with at an address: pieces of wanted words, excluded words whole."""
    terms: dict[str, float] = {}
    for word, pieces in words_in(address).items():
        excluded = min(pieces.values()) < 0
        for term, weight in ({word: sum(pieces.values())} if excluded else pieces).items():
            terms[term] = terms.get(term, 0) + weight
    return terms


def address(page: Page) -> str:
    """Where the page is now; Playwright's own `url` may be a change behind."""
    return page.evaluate("location.href")


def chip(page: Page, word: str) -> Locator:
    """The chip of a word."""
    return page.locator(f'.chip[data-word="{word}"]')


def chips(page: Page) -> dict[str, int]:
    """The words of the chips and where each stands, -100 to 100."""
    page.locator(".chip").first.wait_for()
    values = "[...document.querySelectorAll('.chip')].map((one) => [one.dataset.word, Number(one.ariaValueNow)])"
    return dict(page.evaluate(values))


def come_back(page: Page) -> None:
    """Leaves the page and opens its address again."""
    left = address(page)
    page.goto("about:blank")
    page.goto(left)


def test_searching_as_one_types_weighing_words_and_coming_back_by_address(page: Page, client: httpx.Client) -> None:
    page.goto("/")
    page.get_by_text(START).wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("two red cars", delay=5)
    page.locator(".card").first.wait_for()
    page.wait_for_url(re.compile(r"\?q=two\+red\+cars$"))
    page.locator("#status", has_text="generation").wait_for()
    expected = found_by_text(client, "two red cars")
    assert_shows(page, expected)

    page.locator(".chip").first.focus()
    page.keyboard.press("-")
    page.wait_for_url(re.compile(r"[?&]t="))
    page.locator(".chip.excluded").wait_for()
    changed = found(client, terms_in(address(page)))
    assert changed != expected
    assert_shows(page, changed)

    come_back(page)
    page.locator(".chip.excluded").wait_for()
    assert_shows(page, changed)


def press(page: Page, word: str, key: str, times: int = 1) -> None:
    """Presses a key on the chip of a word."""
    for _ in range(times):
        chip(page, word).focus()
        page.keyboard.press(key)


def drag(page: Page, word: str, part: float) -> None:
    """Drags the chip of a word sideways by a part of its width."""
    box, grip = chip(page, word).bounding_box(), chip(page, word).locator(".word").bounding_box()
    assert box is not None
    assert grip is not None
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + part * box["width"], y, steps=4)
    page.mouse.up()


def add(page: Page, word: str) -> None:
    """Types a word into the field beside the chips."""
    page.locator(".adder input").fill(word)
    page.keyboard.press("Enter")


MOVES: dict[str, tuple[Callable[[Page], None], str, Callable[[float | None, float | None], bool]]] = {
    "heavier by key": (lambda page: press(page, "red", "ArrowRight", 5), "red", lambda old, new: new > 1.5 * old),
    "lighter by key": (lambda page: press(page, "cars", "ArrowLeft", 5), "cars", lambda old, new: 0 < new < old),
    "heavier by pointer": (lambda page: drag(page, "red", 0.5), "red", lambda old, new: new > 1.5 * old),
    "lighter by pointer": (lambda page: drag(page, "cars", -0.5), "cars", lambda old, new: 0 < new < old / 2),
    "excluded by key": (lambda page: press(page, "red", "-"), "red", lambda old, new: new == pytest.approx(-old, 5e-3)),
    "excluded by button": (
        lambda page: chip(page, "cars").get_by_role("button", name="Exclude").click(),
        "cars",
        lambda old, new: new == pytest.approx(-old, 5e-3),
    ),
    "removed by key": (lambda page: press(page, "red", "Delete"), "red", lambda _, new: new is None),
    "removed by button": (
        lambda page: chip(page, "cars").get_by_role("button", name="Remove").click(),
        "cars",
        lambda _, new: new is None,
    ),
    "added": (lambda page: add(page, " Tree "), "tree", lambda old, new: old is None and new > 0),
    "added as excluded": (lambda page: add(page, "-tree"), "tree", lambda old, new: old is None and new < 0),
}


@pytest.mark.parametrize("move", MOVES)
def test_every_change_of_a_word_ranks_again_at_once_and_is_in_the_address(
    page: Page, client: httpx.Client, move: str
) -> None:
    make_move, word, fits = MOVES[move]
    answer = client.get("/search", params={"q": "two red cars", "k": FIRST_PICTURES}).json()
    before = {one["word"]: one["weight"] for one in answer["query"]["words"]}
    page.goto("/?q=two+red+cars")
    assert_shows(page, [hit["id"] for hit in answer["hits"]])
    make_move(page)

    expected = found(client, terms_in(address(page)))
    assert expected != [hit["id"] for hit in answer["hits"]]
    assert_shows(page, expected)
    after = {name: sum(pieces.values()) for name, pieces in words_in(address(page)).items()}
    assert fits(before.pop(word, None), after.pop(word, None))
    assert after == pytest.approx(before, rel=5e-3)


def test_the_first_move_after_more_pictures_counts(page: Page, client: httpx.Client) -> None:
    page.goto("/?q=two+red+cars")
    page.get_by_role("button", name="More pictures").click()
    assert_shows(page, found_by_text(client, "two red cars", 48))
    press(page, "red", "-")

    assert words_in(address(page))["red"]["red"] < 0
    assert_shows(page, found(client, terms_in(address(page)), 48))


def test_more_pictures_are_in_the_address_and_come_back(page: Page, client: httpx.Client) -> None:
    page.goto("/?q=two+red+cars")
    first = found_by_text(client, "two red cars")
    assert_shows(page, first)
    assert "k=" not in page.url
    page.get_by_role("button", name="More pictures").click()
    page.wait_for_url(re.compile(r"[?&]k=48$"))
    more = found_by_text(client, "two red cars", 48)
    assert len(more) > len(first) == FIRST_PICTURES
    assert_shows(page, more)

    page.reload()
    assert_shows(page, more)
    page.locator(".card .like").first.click()
    page.wait_for_url(re.compile(r"\?like=[^&]+$"))
    page.locator("#status", has_text="like ").wait_for()
    alike = shown(page)
    page.go_back()
    assert_shows(page, more)
    page.go_forward()
    assert_shows(page, alike)


@pytest.mark.parametrize(("k", "pictures"), [("many", 24), ("0", 24), ("-48", 24), ("30", 30), ("1000", 192)])
def test_only_a_sensible_number_of_pictures_is_taken_from_an_address(
    page: Page, client: httpx.Client, k: str, pictures: int
) -> None:
    with page.expect_request(SEARCHES) as asked:
        page.goto(f"/?q=red&k={k}")

    assert parse_qs(urlsplit(asked.value.url).query)["k"] == [str(pictures)]
    assert_shows(page, found_by_text(client, "red", pictures))


def test_a_split_word_and_its_place_on_the_scale_come_back_by_address(page: Page, client: httpx.Client) -> None:
    page.goto(SPLIT_QUERY)
    before = chips(page)
    press(page, "skateboard", "ArrowLeft", 8)
    assert "&scale=" in address(page)
    expected, moved = found(client, terms_in(address(page))), chips(page)
    assert len(words_in(address(page))["skateboard"]) > 1
    assert moved == {**before, "skateboard": before["skateboard"] - 40}
    assert_shows(page, expected)

    come_back(page)
    assert chips(page) == pytest.approx(moved, abs=1)
    assert list(chips(page)) == list(moved)
    assert_shows(page, expected)


def test_an_excluded_split_word_keeps_its_pieces(page: Page, client: httpx.Client) -> None:
    page.goto(SPLIT_QUERY)
    press(page, "near", "ArrowRight")
    wanted = address(page)
    press(page, "skateboard", "-")
    page.locator(".chip.excluded").wait_for()
    assert_shows(page, found(client, terms_in(address(page))))

    come_back(page)
    page.locator(".chip.excluded").wait_for()
    assert_shows(page, found(client, terms_in(address(page))))
    press(page, "skateboard", "-")
    page.locator(".chip.excluded").wait_for(state="detached")
    assert words_in(address(page)) == words_in(wanted)
    assert_shows(page, found(client, terms_in(wanted)))


@pytest.mark.parametrize("old", ["/?t=dog:.5,cat:-1", "/?t=dog%3A.5%2Ccat%3A-1"])
def test_addresses_of_before_split_words_were_kept_together_still_work(
    page: Page, client: httpx.Client, old: str
) -> None:
    page.goto(old)
    assert_shows(page, found(client, {"dog": 0.5, "cat": -1}))

    assert chips(page) == {"dog": 67, "cat": -100}


def rewritten(page: Page, given: str) -> tuple[list[str], str]:
    """The words that the page reads from an address, and the address that it writes then."""
    read = """async (address) => {
        const { fromAddress, state, toAddress } = await import("/page/state.js");
        fromAddress(new URL(address, location).search);
        return [state.chips.map(({ word }) => word), toAddress()];
    }"""
    words, written = page.evaluate(read, given)
    return words, written


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ("/", []),
        ("/?q=two+dogs", []),
        ("/?t=dog:.5,cat:-1", ["dog", "cat"]),
        ("/?t=skateboard:skate:.8:%23%23board:.4,red:10.5", ["skateboard", "red"]),
        ("/?t=skateboard:skate:-.8:%23%23board:-.4,%23%23s:20.2", ["skateboard", "##s"]),
        ("/?t=near:%23%23ear:.25,%252c:.3,a%253ab:1,50%2525:2", ["near", ",", "a:b", "50%"]),
        ("/?q=dogs&like=a%2Fb&t=dog:.2&scale=1.5&captions=.3&k=48&open=c%26d", ["dog"]),
    ],
)
def test_any_word_and_weight_comes_back_from_an_address_as_it_was(page: Page, kept: str, words: list[str]) -> None:
    page.goto("/")

    assert rewritten(page, kept) == (words, kept)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/?t=dog,:.5,cat:x,a:b:.5:c,:b:.5:c:.5,a::.5:b:.5,,red:1", "/?t=red:1"),
        ("/?t=dog:.123456&scale=no", "/?t=dog:.123"),
        ("/?t=dog:.5&scale=-1", "/?t=dog:.5"),
    ],
)
def test_what_an_address_does_not_say_rightly_is_left_out(page: Page, given: str, kept: str) -> None:
    page.goto("/")

    assert rewritten(page, given)[1] == kept


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


def test_a_chosen_picture_becomes_words(
    page: Page, client: httpx.Client, served_corpus: ServedCorpus, tmp_path: Path
) -> None:
    picture = tmp_path / "mine.jpg"
    picture.write_bytes(served_corpus.pictures[served_corpus.odd_id])
    page.goto("/")
    page.set_input_files("#file", str(picture))

    assert_searched_with(page, client, served_corpus)


def test_a_picture_chosen_before_the_corpus_is_known_is_searched_with(
    page: Page, client: httpx.Client, served_corpus: ServedCorpus, tmp_path: Path
) -> None:
    picture = tmp_path / "mine.jpg"
    picture.write_bytes(served_corpus.pictures[served_corpus.odd_id])
    facts: list[Route] = []
    searches: list[Route] = []
    page.route("**/stats", lambda route: facts.append(route))
    page.route(SEARCHES, lambda route: searches.append(route))
    page.goto("/")
    page.set_input_files("#file", str(picture))
    wait_for(page, lambda: bool(facts and searches))
    facts[0].continue_()
    page.get_by_text("40 pictures, found by the words").wait_for()
    searches[0].continue_()

    assert_searched_with(page, client, served_corpus)


def held_picture(page: Page, served_corpus: ServedCorpus) -> JSHandle:
    """A picture of the corpus as the browser hands over what is dropped or pasted."""
    make = """(encoded) => {
        const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "mine.jpg", { type: "image/jpeg" }));
        return transfer;
    }"""
    return page.evaluate_handle(make, base64.b64encode(served_corpus.pictures[served_corpus.odd_id]).decode())


def assert_searched_with(page: Page, client: httpx.Client, served_corpus: ServedCorpus) -> None:
    """The page shows what is like the odd picture, first of all itself, and its words."""
    upload = {"image": ("mine.jpg", served_corpus.pictures[served_corpus.odd_id])}
    answer = client.post("/search", files=upload, data={"k": str(FIRST_PICTURES)}).json()
    expected = [hit["id"] for hit in answer["hits"]]
    assert expected[0] == served_corpus.odd_id
    assert_shows(page, expected)
    assert set(chips(page)) <= {one["word"] for one in answer["query"]["words"]} == set(words_in(address(page)))


def test_a_dropped_picture_becomes_words(page: Page, client: httpx.Client, served_corpus: ServedCorpus) -> None:
    page.goto("/")
    page.get_by_text(START).wait_for()
    transfer = held_picture(page, served_corpus)
    say = """([kind, transfer]) => {
        const init = { dataTransfer: transfer, bubbles: true, cancelable: true };
        return !document.querySelector("#empty").dispatchEvent(new DragEvent(kind, init));
    }"""
    invitation = page.get_by_text("Drop a picture to search with it")
    page.evaluate(say, ["dragenter", transfer])
    invitation.wait_for(state="visible")
    page.evaluate(say, ["dragleave", transfer])
    invitation.wait_for(state="hidden")
    page.evaluate(say, ["dragenter", transfer])
    invitation.wait_for(state="visible")

    # Unless the page takes both, the browser leaves it for the file.
    assert page.evaluate(say, ["dragover", transfer])
    assert page.evaluate(say, ["drop", transfer])
    invitation.wait_for(state="hidden")
    assert_searched_with(page, client, served_corpus)


def test_a_pasted_picture_becomes_words(page: Page, client: httpx.Client, served_corpus: ServedCorpus) -> None:
    page.goto("/")
    page.get_by_text(START).wait_for()
    paste = """(transfer) => {
        const init = { clipboardData: transfer, bubbles: true, cancelable: true };
        document.querySelector("#words").dispatchEvent(new ClipboardEvent("paste", init));
    }"""
    page.evaluate(paste, held_picture(page, served_corpus))

    assert_searched_with(page, client, served_corpus)


def test_captions_count_as_much_as_the_slider_says_and_are_quoted(page: Page, client: httpx.Client) -> None:
    page.goto("/?q=a+green+tree")
    page.locator("#captions-share").wait_for()
    page.locator(".card").first.wait_for()
    page.locator("#share").fill("0.6")
    page.wait_for_url(re.compile(r"[?&]captions=.6"))
    page.locator(".split .captions").first.wait_for()

    expected = client.get("/search", params={"q": "a green tree", "k": 24, "captions": 0.6}).json()
    assert_shows(page, [hit["id"] for hit in expected["hits"]])
    page.locator(".card .open").first.click()
    assert "“" in page.locator("#matched").inner_text()


def unshared_word(served_corpus: ServedCorpus) -> str:
    """A word of the vocabulary that no picture has."""
    index, vocabulary = served_corpus.open(), served_corpus.model.vocabulary
    used = {int(term) for position in range(index.documents) for term in index.vector(position).terms}
    return next(
        term for number, term in enumerate(vocabulary.terms) if number not in used and term.isalpha() and len(term) > 1
    )


def lose_shards(page: Page, answering: int) -> None:
    """Lets answers of the service say that only some of its four shards have answered."""

    def change(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        assert answer["shards"] == {"total": 4, "ok": 4, "timed_out": 0, "failed": 0}
        answer["shards"].update(ok=answering, failed=4 - answering)
        route.fulfill(response=response, json=answer)

    page.route(SEARCHES, change)


def test_when_no_picture_shares_a_word_the_page_says_so(page: Page, served_corpus: ServedCorpus) -> None:
    page.goto(f"/?t={unshared_word(served_corpus)}:1")

    page.get_by_text("No image shares a word with this query.").wait_for()
    assert not page.locator("#warning").is_visible()


def test_missing_shards_are_told_until_all_answer_again(page: Page, client: httpx.Client) -> None:
    lose_shards(page, 3)
    page.goto("/?q=two+red+cars")
    page.get_by_text("1 of 4 shards did not answer, so pictures may be missing here.").wait_for()
    assert_shows(page, found_by_text(client, "two red cars"))
    assert not page.locator("#empty").is_visible()

    page.unroute(SEARCHES)
    page.locator("#words").fill("a green tree")
    assert_shows(page, found_by_text(client, "a green tree"))
    assert not page.locator("#warning").is_visible()


@pytest.mark.parametrize(
    ("answering", "excluding", "told"),
    [
        (3, "", "No picture among those that could be searched shares a word with this query."),
        (3, ",red:-1", "shares a word with this query without showing red, which you excluded."),
        (0, "", "No picture could be searched."),
    ],
)
def test_with_shards_missing_the_page_does_not_say_that_no_picture_shares_a_word(
    page: Page, served_corpus: ServedCorpus, answering: int, excluding: str, told: str
) -> None:
    lose_shards(page, answering)
    page.goto(f"/?t={unshared_word(served_corpus)}:1{excluding}")

    page.locator("#empty h2", has_text=told).wait_for()
    page.get_by_text(f"{4 - answering} of 4 shards did not answer").wait_for()
    assert "No image shares" not in page.locator("main").inner_text()


def test_an_older_search_neither_comes_back_nor_keeps_the_page_waiting(page: Page, client: httpx.Client) -> None:
    held: list[Route] = []
    page.route(SEARCHES, lambda route: route.continue_() if "green" in route.request.url else held.append(route))
    page.goto("/?q=two+red+cars")
    page.locator("body.busy").wait_for()
    wait_for(page, lambda: len(held) == 1)
    page.locator("#words").fill("")
    page.get_by_text(START).wait_for()
    assert not page.locator("body.busy").count()

    page.locator("#words").fill("red")
    wait_for(page, lambda: len(held) == 2)
    page.locator("#words").fill("a green tree")
    expected = found_by_text(client, "a green tree")
    assert_shows(page, expected)
    assert len(held) == 2
    for route in held:
        route.continue_()
    page.wait_for_timeout(400)
    assert not page.locator("body.busy").count()
    assert_shows(page, expected)


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
