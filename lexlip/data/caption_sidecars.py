"""Captions in small files beside an image: the conventions that WebDataset tars and img2dataset folders share.

`000012.txt` holds one caption; `000012.json` an object with `captions` (a list), `caption` or `text`, and maybe the
`url` the image came from. Where both are there the list wins, then the text file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from lexlip.errors import DataError

TEXT_SUFFIXES = ("txt", "text", "caption")
RECORD_SUFFIX = "json"
LARGEST_SIDECAR = 2**20  # bytes; a caption file that is larger is something else


@dataclass(frozen=True)
class ImageWords:
    """What lies beside an image.

    Attributes:
        captions: maybe none.
        url: where the image came from, when that is recorded.
    """

    captions: list[str]
    url: str | None


def words_beside(parts: Mapping[str, bytes], where: str) -> ImageWords:
    """Reads the files beside an image.

    Args:
        parts: their contents by suffix, without the dot.
        where: the image, for messages.

    Raises:
        DataError: a file is no UTF-8, or the record no JSON object of the right form.
    """
    record = _record(parts[RECORD_SUFFIX], where) if RECORD_SUFFIX in parts else {}
    url = record.get("url")
    captions = record.get("captions")
    if captions is None:
        text = next((parts[suffix] for suffix in TEXT_SUFFIXES if suffix in parts), None)
        if text is not None:
            captions = _decoded(text, where)
        else:
            captions = next((record[key] for key in ("caption", "text") if record.get(key) is not None), [])
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise DataError(f"{where}: captions must be a string or a list of strings")
    return ImageWords([caption.strip() for caption in captions], url if isinstance(url, str) else None)


def _record(content: bytes, where: str) -> dict:
    try:
        record = json.loads(_decoded(content, where))
    except ValueError as error:
        raise DataError(f"{where}: the .json beside it is no JSON ({error})") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: the .json beside it holds no object")
    return record


def _decoded(content: bytes, where: str) -> str:
    if len(content) >= LARGEST_SIDECAR:
        raise DataError(f"{where}: the file with its captions is larger than {LARGEST_SIDECAR:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: the text beside it is no UTF-8 ({error})") from error
