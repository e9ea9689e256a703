"""Whatever is sent, the answer is a clear refusal, never a server error, and the service goes on."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from serve.encoders import DECODING_THREADS

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


def png(width: int, height: int, packed: bytes, *, depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    """A PNG that declares any size, whatever its packed pixels unpack to."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_texts(megabytes: int) -> bytes:
    """Remarks inside a PNG that take a thousandth of what they unpack to."""
    packed = zlib.compress(b"a" * 2**20)
    return b"".join(png_chunk(b"zTXt", b"remark %d\0\0" % number + packed) for number in range(megabytes))


def zip_bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.jpg", b"\0" * 5_000_000)
    return data.getvalue()


FEW_PIXELS = zlib.compress(b"\0" * 2_000_000)
BOMBS = {
    "larger than the pixel limit": png(60_000, 60_000, FEW_PIXELS),
    "largest declarable": png(2**31 - 1, 2**31 - 1, FEW_PIXELS),
    "no pixels": png(0, 10, FEW_PIXELS),
    # Nothing is wrong with it but its size: Pillow alone would open it, and make 400 MB of its 12 KB.
    "really larger than the pixel limit": png(10_000, 10_000, zlib.compress(bytes(1251 * 10_000)), depth=1, colour=0),
    "more remarks than picture": png(8, 8, zlib.compress(bytes(25 * 8)), before=png_texts(70)),
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
        ("POST", "/search", {"data": {"filters": '{"number": ' + "1" * 5000 + "}"}, "files": {"image": jpeg()}}),
        (
            "POST",
            "/search",
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n3\r\n--x--\r\n',
                "headers": {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"},
            },
        ),
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


words = st.sampled_from(["red", "two red cars", "##s", "[CLS]", "[UNK]", " "])
counts = st.integers().map(str) | st.floats().map(str) | st.text(max_size=5) | st.just("9" * 5000)
texts = st.text(max_size=20)
near_a_form = st.fixed_dictionaries(
    {},
    optional={
        "k": st.integers(-2, 250).map(str) | counts,
        "explain": st.sampled_from(["true", "0", "on"]) | texts,
        "require_complete": st.sampled_from(["true", "0", "on"]) | texts,
        "captions": st.floats().map(str) | texts,
        "filters": st.dictionaries(
            st.sampled_from(["number", "captions", "id", "nothing"]), anything | st.just(10**400), max_size=2
        ).map(json.dumps)
        | anything.map(json.dumps)
        | st.sampled_from(['{"number": ' + "1" * 5000 + "}", '{"number": 1e999}', '{"id": "\\ud800"}', "[" * 5000])
        | texts,
    },
)
# What a header can hold on its way: anything but control characters.
header_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
).map(lambda value: value.strip().encode("latin-1"))
FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="k"\r\n\r\n3\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + jpeg() + b"\r\n--edge--\r\n"
)
# Not all that Python can decode is an encoding of text, and not all encodings fail alike.
charsets = st.sampled_from([b"undefined", b"punycode", b"idna", b"hex", b"utf-16", b"utf-7", b"unicode_escape"])
content_types = st.one_of(
    header_values,
    header_values.map(lambda value: b"application/json;" + value),
    header_values.map(lambda value: b"multipart/form-data; boundary=" + value),
    (charsets | header_values).map(lambda value: b"multipart/form-data; boundary=edge; charset=" + value),
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
@given(
    number=st.none() | st.integers(0, 39), name=st.text(max_size=30), term=st.text(max_size=120) | words, count=counts
)
def test_no_heat_and_no_words_of_any_picture_are_a_server_error(
    client: httpx.Client, served_corpus: ServedCorpus, number: int | None, name: str, term: str, count: str
) -> None:
    identifier = quote(name if number is None else list(served_corpus.pictures)[number], safe="")
    heat = client.get(f"/images/{identifier}/heat", params={"term": term})
    assert heat.status_code in (200, *REFUSED), heat.text
    shown = client.get(f"/images/{identifier}/words", params={"count": count})
    assert shown.status_code in (200, *REFUSED), shown.text


@QUICK
@given(fields=near_a_form)
def test_no_options_beside_a_picture_are_a_server_error(client: httpx.Client, fields: dict[str, str]) -> None:
    answer = client.post("/search", files={"image": ("a.jpg", jpeg(), "image/jpeg")}, data=fields)
    assert answer.status_code in (200, *REFUSED), answer.text


@QUICK
@given(headers=st.dictionaries(st.sampled_from(["Authorization", "X-API-Key", "If-None-Match"]), header_values))
def test_no_headers_are_a_server_error(client: httpx.Client, served_corpus: ServedCorpus, headers: dict) -> None:
    for path in ("/", "/search?q=dog", f"/images/{quote(served_corpus.odd_id, safe='')}", "/images/nobody"):
        assert client.get(path, headers=headers).status_code in (200, *REFUSED)


@QUICK
@given(kind=content_types, body=st.sampled_from([FORM, b'{"text": "dog"}', b""]))
def test_no_content_type_is_a_server_error(client: httpx.Client, kind: bytes, body: bytes) -> None:
    for path in ("/search", "/encode"):
        answer = client.post(path, content=body, headers={"Content-Type": kind})
        assert answer.status_code in (200, *REFUSED), (kind, answer.text)


@QUICK
@given(data=st.binary(max_size=300), cut=st.integers(0, 600), flip=st.integers(0, 600))
def test_no_damaged_picture_is_a_server_error(client: httpx.Client, data: bytes, cut: int, flip: int) -> None:
    damaged = bytearray(jpeg()[:cut] + data)
    if flip < len(damaged):
        damaged[flip] ^= 0xFF
    assert client.post("/encode", files={"image": ("a.jpg", bytes(damaged))}).status_code in (200, *REFUSED)


SENDERS = 8
ROUNDS = 40
# What the service may hold at most while it refuses all this, by the limits that conftest.py sets. The clients of the
# test live in the same process: their copies of a body count too.
COPIES_OF_A_BODY = 6  # the client's two, received parts, the whole, the form's file, the picture read from it
COPIES_OF_PIXELS = 3  # decoded, converted, turned upright
BYTES_OF_A_PIXEL = 4  # Pillow keeps RGB as RGBX
REMARKS_OF_A_PNG = 64 * 2**20  # Pillow's own limit
SLACK = 128 * 2**20  # threads, connections, and what the allocator keeps of all this
MOST_MEMORY = (
    SENDERS * COPIES_OF_A_BODY * 2**20
    + DECODING_THREADS * (COPIES_OF_PIXELS * BYTES_OF_A_PIXEL * 1_000_000 + REMARKS_OF_A_PNG)
    + SLACK
)
HUGE_BODY = 50 * 2**20


def own_memory(kind: str) -> int:
    """Resident bytes of this process, now (`VmRSS`) or at their highest (`VmHWM`)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024


def send_everything(url: str) -> None:
    def huge_body() -> Iterator[bytes]:
        for _ in range(HUGE_BODY // 2**16):
            yield b"\xff" * 2**16

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    # A connection for each: one that is kept may be closed by a busy server just when it is used again.
    with httpx.Client(base_url=url, timeout=120, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for data in BOMBS.values():
            client.post("/encode", files={"image": ("bomb.jpg", data)})
        for headers in (form, form | {"Content-Length": str(HUGE_BODY)}):
            assert client.post("/search", content=huge_body(), headers=headers).status_code == 413


def test_refusing_takes_no_more_memory_than_the_limits_allow(service_url: str) -> None:
    assert MOST_MEMORY < SENDERS * HUGE_BODY, "too much to notice bodies that are read whole"
    send_everything(service_url)  # what is loaded once stays
    before = own_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest is forgotten

    with ThreadPoolExecutor(SENDERS) as threads:
        list(threads.map(send_everything, [service_url] * ROUNDS))

    assert own_memory("VmHWM") - before < MOST_MEMORY
