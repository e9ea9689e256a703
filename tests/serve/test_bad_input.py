"""Whatever is sent, the answer is a clear refusal, never a server error, and the service goes on."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

if TYPE_CHECKING:
    from conftest import ServedCorpus

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
REFUSED = (400, 404, 413, 415, 422)


def jpeg(side: int = 32) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(data, "JPEG")
    return data.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares any size in a few bytes, and then unpacks to nothing of the kind."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 2_000_000)) + chunk(b"IEND", b"")


def zip_bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.jpg", b"\0" * 5_000_000)
    return data.getvalue()


BOMBS = {
    "larger than the pixel limit": png_header(60_000, 60_000),
    "largest declarable": png_header(2**31 - 1, 2**31 - 1),
    "no pixels": png_header(0, 10),
    "truncated": jpeg()[:200],
    "head only": b"\xff\xd8\xff\xe0",
    "empty": b"",
    "text": b"this is not a picture",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,",
    "zip": zip_bomb(),
    "zip before picture": zip_bomb() + jpeg(),
    "script that begins like a picture": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
    "corrupted in the middle": jpeg(64)[:300] + b"\xff\xd9" * 40,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_is_no_picture_within_the_limits_is_refused(client: httpx.Client, name: str) -> None:
    for path in ("/search", "/encode"):
        answer = client.post(path, files={"image": ("bomb.jpg", BOMBS[name], "image/jpeg")})
        # A damaged picture that still has all its pixels may be decoded; nothing else may be.
        assert answer.status_code in (REFUSED if name != "corrupted in the middle" else (200, *REFUSED)), answer.text
        if answer.status_code != 200:
            assert answer.json()["detail"]


def test_a_picture_with_something_behind_it_is_just_a_picture(client: httpx.Client) -> None:
    assert client.post("/search", files={"image": ("a.jpg", jpeg() + zip_bomb())}).status_code == 200


def test_a_body_beyond_the_limit_is_refused_declared_or_not(client: httpx.Client) -> None:
    declared = client.post("/search", files={"image": ("big.jpg", b"\xff" * (50 * 2**20))})
    streamed = client.post(
        "/search",
        content=(b"\xff" * 2**16 for _ in range(64)),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert declared.status_code == 413
    assert streamed.status_code == 413


def test_a_bad_picture_does_not_fail_the_others_in_its_batch(client: httpx.Client, served_corpus: ServedCorpus) -> None:
    uploads = [data for data in list(served_corpus.pictures.values())[:6] for data in (data, BOMBS["truncated"])]

    with ThreadPoolExecutor(len(uploads)) as threads:
        statuses = list(
            threads.map(lambda data: client.post("/search", files={"image": ("a.jpg", data)}).status_code, uploads)
        )

    assert statuses == [200, 422] * 6


def test_a_part_of_a_form_comes_once(client: httpx.Client) -> None:
    picture = {"image": ("a.jpg", jpeg(), "image/jpeg")}
    answer = client.post("/search", files=picture, data={"k": ["3", "4"]})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "k: given more than once."}
    assert client.post("/search", files=picture, data={"k": "3"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "request_parts", "status"),
    [
        ("/search", {}, 415),
        ("/encode", {}, 415),
        ("/search", {"json": {"image_id": "nobody has this"}}, 404),
        ("/search", {"json": {"text": ""}}, 422),
        (
            "/encode",
            {"content": b"--a\r\n--a--\r\n", "headers": {"content-type": "multipart/form-data; boundary=a"}},
            400,
        ),
        ("/search", {"files": {f"part {number}": (None, b"x") for number in range(20)}}, 400),
    ],
)
def test_refusals_are_those_that_the_description_of_the_api_names(
    client: httpx.Client, path: str, request_parts: dict, status: int
) -> None:
    assert client.post(path, **request_parts).status_code == status
    assert str(status) in client.get("/openapi.json").json()["paths"][path]["post"]["responses"]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/search", {}),
        ("GET", "/search?q=", {}),
        ("GET", "/search?q=%20%20", {}),
        ("GET", "/search?q=dog&k=0", {}),
        ("GET", "/search?q=dog&k=100000", {}),
        ("GET", "/search?q=dog&explain=perhaps", {}),
        ("GET", "/search?q=" + "a" * 3000, {}),
        ("POST", "/search", {"json": {}}),
        ("POST", "/search", {"json": {"text": "dog", "image_id": "one"}}),
        ("POST", "/search", {"json": {"text": "   "}}),
        ("POST", "/search", {"json": {"text": "dog", "unknown": 1}}),
        ("POST", "/search", {"json": {"image_id": "nobody"}}),
        ("POST", "/search", {"json": {"terms": {"red": "much"}}}),
        ("POST", "/search", {"json": {"terms": {"no such word Ω": 1}}}),
        ("POST", "/search", {"json": {"terms": {"red": -1}}}),
        ("POST", "/search", {"json": {"text": "dog", "filters": {"owner": "me"}}}),
        ("POST", "/search", {"json": {"text": "dog", "filters": {"number": "five"}}}),
        ("POST", "/search", {"json": {"text": "dog", "filters": {"thumbnail": "a"}}}),
        ("POST", "/search", {"content": b'{"terms": {"red": NaN}}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/search", {"content": b'{"text": "\\ud800"}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/search", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
        ("POST", "/search", {"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}),
        ("POST", "/search", {"content": b"text=dog", "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/search", {"content": b"", "headers": {"Content-Type": "multipart/form-data"}}),
        (
            "POST",
            "/search",
            {"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        ),
        ("POST", "/search", {"data": {"k": "3"}, "files": {"other": b"a"}}),
        ("POST", "/search", {"data": {"k": "many"}, "files": {"image": jpeg()}}),
        ("POST", "/search", {"data": {"filters": "{"}, "files": {"image": jpeg()}}),
        ("POST", "/search", {"data": {"filters": "[" * 10_000}, "files": {"image": jpeg()}}),
        ("POST", "/encode", {"json": {"text": ""}}),
        ("GET", "/images/nobody", {}),
        ("GET", "/images/..%2F..%2F..%2Fetc%2Fpasswd", {}),
        ("GET", "/images/%2Fetc%2Fpasswd", {}),
        ("GET", "/images/%ff%fe", {}),
        ("GET", "/images/nobody/words", {}),
        ("GET", "/images/nobody/heat?term=red", {}),
        ("GET", "/page/..%2Fgateway.py", {}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_reason(
    client: httpx.Client, method: str, path: str, options: dict
) -> None:
    answer = client.request(method, path, **options)

    assert answer.status_code in REFUSED, answer.text
    assert answer.json()["detail"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
near_a_request = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=40) | anything,
        "terms": st.dictionaries(
            st.sampled_from(["red", "dog", "##s", "[CLS]", "zzz"]) | st.text(max_size=5), st.floats()
        ),
        "image_id": st.text(max_size=10),
        "k": st.integers(-2, 250) | anything,
        "explain": st.booleans() | anything,
        "require_complete": st.booleans(),
        "filters": st.dictionaries(st.sampled_from(["number", "captions", "id", "nothing"]), anything, max_size=2),
    },
)


@QUICK
@given(body=near_a_request | anything)
def test_no_json_body_is_a_server_error(client: httpx.Client, body: object) -> None:
    for path in ("/search", "/encode"):
        answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, *REFUSED), (body, answer.text)


@QUICK
@given(text=st.text(min_size=1, max_size=60), name=st.text(min_size=1, max_size=30))
def test_no_text_and_no_id_is_a_server_error(client: httpx.Client, text: str, name: str) -> None:
    assert client.get("/search", params={"q": text}).status_code in (200, *REFUSED)
    assert client.get(f"/images/{quote(name, safe='')}").status_code in (200, 307, *REFUSED)


@QUICK
@given(data=st.binary(max_size=300), cut=st.integers(0, 600), flip=st.integers(0, 600))
def test_no_damaged_picture_is_a_server_error(client: httpx.Client, data: bytes, cut: int, flip: int) -> None:
    damaged = bytearray(jpeg()[:cut] + data)
    if flip < len(damaged):
        damaged[flip] ^= 0xFF
    assert client.post("/encode", files={"image": ("a.jpg", bytes(damaged))}).status_code in (200, *REFUSED)
