"""Safe decoding: bytes from anywhere become an upright RGB picture, or a `BadImage` that says why not."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from lexlip.errors import BadImage

WHITE = (255, 255, 255, 255)
ORIENTATION_TAG = 0x0112  # EXIF
# EXIF orientation -> what turns the stored picture upright; 1 is upright already.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageLimits:
    """What is decoded at all; checked on the bytes and the header, before any pixel is decoded.

    Attributes:
        formats: allowed formats by Pillow's names, recognised by content and never by a file's name.
        max_bytes: largest encoded image, in bytes.
        max_pixels: largest width times height; 50 million pixels decode to 150 MB of RGB.
    """

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP")
    max_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000


def decode_image(data: bytes | None, limits: ImageLimits, at_least: int | None = None) -> Image.Image:
    """Decodes one image: first frame, upright by its EXIF orientation, transparency laid on white.

    Args:
        data: an encoded image, None when the source has none.
        limits: what is refused.
        at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides keep this many pixels,
            which saves most of the work on large photos. None keeps the full size.

    Returns:
        A loaded image in mode RGB.

    Raises:
        BadImage: missing, empty, too large, of another format, truncated or otherwise broken; the message says which.
    """
    if not data:
        raise BadImage("there is no image")
    if len(data) > limits.max_bytes:
        raise BadImage(f"the image has {len(data):,} bytes, more than the limit of {limits.max_bytes:,}")
    try:
        with _open(data, limits) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise BadImage(f"the image has {width} x {height} pixels, more than the limit of {limits.max_pixels:,}")
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            upright = _rgb(image)
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly any type on broken bytes
        raise BadImage(f"the image is broken ({type(error).__name__}: {error})") from error
    return upright.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else upright


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    """Reads the header only. Pillow's own pixel limit (179 million) holds whatever `limits` say."""
    try:
        return Image.open(io.BytesIO(data), formats=limits.formats)
    except UnidentifiedImageError as error:
        raise BadImage(f"these {len(data):,} bytes are no {', '.join(limits.formats)} image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"the image has too many pixels ({error})") from error


def _rgb(image: Image.Image) -> Image.Image:
    """RGB from any mode of the allowed formats."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip at 255 where the upper byte is wanted
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), picture).convert("RGB")
    return image.convert("RGB")
