"""Whatever the bytes are, decoding ends in an upright RGB picture or in a `BadImage` that says why."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexlip.data.images import ImageLimits, decode_image
from lexlip.errors import BadImage

LIMITS = ImageLimits()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file that claims a size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", b"")]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def quarters(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green, blue and white quarters: shows every turn and exchange."""
    image = Image.new("RGB", (width, height), "white")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_allowed_formats_are_decoded(kind: str) -> None:
    image = decode_image(encoded(quarters(), kind, quality=95), LIMITS)
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(image, dtype=int) - np.asarray(quarters(), dtype=int)).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused_by_their_content(kind: str) -> None:
    with pytest.raises(BadImage, match="no JPEG, PNG, WEBP image"):
        decode_image(encoded(quarters(), kind), LIMITS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation: int) -> None:
    # What a camera stores for each orientation, from the picture as it should be seen.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = quarters() if orientation == 1 else quarters().transpose(stored[orientation])
    upright = decode_image(encoded(image, "PNG", exif=exif), LIMITS)
    np.testing.assert_array_equal(np.asarray(upright), np.asarray(quarters()))


def test_transparency_is_laid_on_white() -> None:
    glass = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    glass.paste((0, 0, 255, 255), (0, 0, 4, 8))
    for image in (glass, glass.quantize(), glass.convert("LA")):
        decoded = decode_image(encoded(image, "PNG"), LIMITS)
        assert decoded.mode == "RGB"
        assert decoded.getpixel((6, 4)) == (255, 255, 255)
        assert decoded.getpixel((2, 4)) != (255, 255, 255)
    keyed = encoded(Image.new("RGB", (8, 8), (0, 255, 0)), "PNG", transparency=(0, 255, 0))
    assert decode_image(keyed, LIMITS).getpixel((0, 0)) == (255, 255, 255)


def test_unusual_modes_become_rgb() -> None:
    assert decode_image(encoded(quarters().convert("P"), "PNG"), LIMITS).getpixel((2, 2)) == (255, 0, 0)
    red, green, blue = np.asarray(decode_image(encoded(quarters().convert("CMYK"), "JPEG"), LIMITS))[4, 4]
    assert red > 200
    assert max(green, blue) < 60
    assert decode_image(encoded(Image.new("1", (4, 4), 1), "PNG"), LIMITS).getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.full((4, 4), 128 << 8, np.uint16))
    assert decode_image(encoded(deep, "PNG"), LIMITS).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    animation = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert decode_image(animation, LIMITS).getpixel((8, 8)) == (255, 0, 0)


def test_limits_are_checked_before_decoding() -> None:
    data = encoded(quarters(), "PNG")
    with pytest.raises(BadImage, match=f"{len(data)} bytes, more than the limit of {len(data) - 1}"):
        decode_image(data, ImageLimits(max_bytes=len(data) - 1))
    with pytest.raises(BadImage, match="64 x 48 pixels, more than the limit of 3,071"):
        decode_image(data, ImageLimits(max_pixels=64 * 48 - 1))
    # The header alone is there: the pixel limit speaks, not the missing rest.
    with pytest.raises(BadImage, match="more than the limit"):
        decode_image(data[:60], ImageLimits(max_pixels=10))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_one_bad_image(side: int) -> None:
    with pytest.raises(BadImage, match="pixels"):
        decode_image(png_header(side, side), LIMITS)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_warning_made_an_error_is_a_bad_image_too() -> None:
    with pytest.raises(BadImage, match="pixels"):
        decode_image(png_header(10_000, 10_000), LIMITS)


@pytest.mark.parametrize("data", [None, b""])
def test_no_bytes_are_no_image(data: bytes | None) -> None:
    with pytest.raises(BadImage, match="no image"):
        decode_image(data, LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(BadImage):
        decode_image(data[: len(data) * 2 // 3], LIMITS)


def test_a_large_jpeg_may_be_decoded_smaller() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(quarters(1600, 1200), "JPEG", exif=exif)
    assert decode_image(data, LIMITS).size == (1200, 1600)
    assert decode_image(data, LIMITS, at_least=300).size == (300, 400)
    assert decode_image(data, LIMITS, at_least=301).size == (600, 800)


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_damaged_bytes_never_raise_anything_else(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(quarters(16, 12), kind))
    for position, value in changes:
        data[position % len(data)] = value
    try:
        image = decode_image(bytes(data), ImageLimits(max_pixels=10_000))
    except BadImage:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= 10_000
