"""Pairs as image files with their captions in files beside them: img2dataset's "files" output, and folders like it.

00000/000000012.jpg, 00000/000000012.txt, 00000/000000012.json

An image's id is its path below the location.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
import pyarrow as pa

from lexlip.data.caption_sidecars import LARGEST_SIDECAR, RECORD_SUFFIX, TEXT_SUFFIXES, words_beside
from lexlip.data.image_files import image_bytes
from lexlip.data.locations import IMAGE_SUFFIXES, Location
from lexlip.data.tar_pairs import TAR_SCHEMA
from lexlip.errors import DataError
from lexlip.storage import open_filesystem


@dataclass(frozen=True)
class CaptionedFilesUnit:
    """Some image files of one folder, in the order of their names.

    Attributes:
        file: the folder, with its protocol unless local.
        prefix: put before the names of its files to make ids: its path below the location.
        first_row: which image file is the first.
        rows: how many.
    """

    file: str
    prefix: str
    first_row: int
    rows: int


def captioned_files_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[CaptionedFilesUnit]:
    """The units of one folder, from its listing.

    Raises:
        DataError: there is not one file with captions where they are required.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options((), name)
    names = _names(filesystem, path)
    images = _images(names)
    suffixes = {file.rpartition(".")[2] for file in names}
    if captions_required and not suffixes & {*TEXT_SUFFIXES, RECORD_SUFFIX}:
        raise DataError(f"{name}: no .{', .'.join(TEXT_SUFFIXES)} or .{RECORD_SUFFIX} with captions beside the images")
    root = str(open_filesystem(location.url)[1]).rstrip("/")
    prefix = path[len(root) :].strip("/")
    for first_row in range(0, len(images), unit_rows):
        yield CaptionedFilesUnit(name, prefix, first_row, min(unit_rows, len(images) - first_row))


def read_captioned_files(unit: CaptionedFilesUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows."""
    filesystem, path = open_filesystem(unit.file)
    names = _names(filesystem, path)
    images = _images(names)[unit.first_row : unit.first_row + unit.rows]
    if len(images) < unit.rows:
        raise DataError(f"{unit.file}: fewer image files than before; the folder has changed since it was opened")
    for start in range(0, unit.rows, batch_rows):
        rows = [_as_pair(filesystem, path, name, names, unit.prefix) for name in images[start : start + batch_rows]]
        yield pa.Table.from_pylist(rows, schema=TAR_SCHEMA)


def _names(filesystem: fsspec.AbstractFileSystem, path: str) -> set[str]:
    try:
        listed = filesystem.ls(path, detail=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be listed ({error})") from error
    names = {str(file).rstrip("/").rpartition("/")[2] for file in listed}
    return {name for name in names if not name.startswith((".", "_"))}


def _images(names: set[str]) -> list[str]:
    return sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES))


def _as_pair(
    filesystem: fsspec.AbstractFileSystem, folder: str, name: str, names: set[str], prefix: str
) -> dict[str, object]:
    stem = name.rpartition(".")[0]
    beside = [suffix for suffix in (*TEXT_SUFFIXES, RECORD_SUFFIX) if f"{stem}.{suffix}" in names]
    contents = {
        suffix: filesystem.cat_file(f"{folder}/{stem}.{suffix}", start=0, end=LARGEST_SIDECAR) for suffix in beside
    }
    words = words_beside(contents, f"{folder}/{name}")
    return {
        "image_id": f"{prefix}/{name}" if prefix else name,
        "image": image_bytes(filesystem, f"{folder}/{name}"),
        "captions": words.captions,
        "url": words.url,
    }
