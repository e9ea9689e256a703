"""Safe decoding: bytes from anywhere become an upright RGB picture, or a `BadImage` that says why not."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class ImageLimits:
    """What is decoded at all; checked before any pixel is."""

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP")
    max_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000


def decode_image(data: bytes | None, limits: ImageLimits, at_least: int | None = None) -> Image.Image:
    """Upright RGB image; `at_least` lets a huge JPEG be decoded smaller, both sides >= at_least. Raises BadImage."""
    ...
