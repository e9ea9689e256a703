"""Pairs in the layout that contrastive training data is often published in: tab-separated lines beside image files.

The first line names the columns: `title` (a caption), `filepath` (an image file) and, optionally, `image_id`. An image
with several captions has several lines, one after the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from typing import IO

import fsspec
import pyarrow as pa

from lexlip.data.image_files import image_bytes, name_inside
from lexlip.data.locations import Location
from lexlip.errors import DataError
from lexlip.storage import open_filesystem
from lexlip.tables import PAIR_SCHEMA


@dataclass(frozen=True)
class TsvUnit:
    """Some images of one file.

    Attributes:
        file: with its protocol unless local.
        images: the folder that `filepath` is relative to, as a URL.
        header: names of the columns.
        first_byte: where the first line of the first image begins.
        rows: how many images.
    """

    file: str
    images: str
    header: tuple[str, ...]
    first_byte: int
    rows: int


@dataclass(frozen=True)
class _Line:
    first_byte: int
    image_id: str
    file_name: str
    caption: str


def tsv_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[TsvUnit]:
    """The units of one file. All lines are read and checked, no image is.

    Raises:
        DataError: naming the line that has more or fewer fields than the header, or a file outside of the folder.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options(("images",), name)
    starts: list[int] = []
    rows = 0
    with _open(filesystem, path, name) as lines:
        header = _header(lines, name, captions_required)
        for _, captioned in groupby(_lines(lines, header, name, lines.tell()), key=lambda line: line.image_id):
            first = next(captioned)
            if rows % unit_rows == 0:
                starts.append(first.first_byte)
            rows += 1
    images = location.images_folder(filesystem, path, ("images",))
    for position, first_byte in enumerate(starts):
        yield TsvUnit(name, images, header, first_byte, min(unit_rows, rows - position * unit_rows))


def read_tsv(unit: TsvUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; a file that is not there becomes a row whose image is null."""
    filesystem, path = open_filesystem(unit.file)
    image_filesystem, folder = open_filesystem(unit.images)
    left = unit.rows
    with _open(filesystem, path, unit.file) as lines:
        lines.seek(unit.first_byte)
        groups = groupby(_lines(lines, unit.header, unit.file, unit.first_byte), key=lambda line: line.image_id)
        while left > 0:
            batch = [list(captioned) for _, captioned in islice(groups, min(batch_rows, left))]
            if not batch:
                raise DataError(f"{unit.file}: ended early; the file has changed since it was opened")
            left -= len(batch)
            rows = [
                {
                    "image_id": captioned[0].image_id,
                    "image": image_bytes(image_filesystem, f"{folder}/{captioned[0].file_name}"),
                    "captions": [line.caption for line in captioned if line.caption],
                }
                for captioned in batch
            ]
            yield pa.Table.from_pylist(rows, schema=PAIR_SCHEMA)


@contextmanager
def _open(filesystem: fsspec.AbstractFileSystem, path: str, name: str) -> Iterator[IO[bytes]]:
    try:
        opened = filesystem.open(path, "rb")
    except OSError as error:
        raise DataError(f"{name}: cannot be opened ({error})") from error
    with opened as lines:
        yield lines


def _header(lines: IO[bytes], name: str, captions_required: bool) -> tuple[str, ...]:
    header = _fields(lines.readline(), f"{name}, line 1")
    needed = ["title", "filepath"] if captions_required else ["filepath"]
    missing = [column for column in needed if column not in header]
    if missing:
        raise DataError(
            f"{name}: the first line has to name the columns title, filepath and (optionally) image_id, separated by "
            f"tabs; {', '.join(missing)} missing"
        )
    return tuple(header)


def _lines(lines: IO[bytes], header: tuple[str, ...], name: str, position: int) -> Iterator[_Line]:
    for line in lines:
        if line.strip():
            where = f"{name}, byte {position}"
            fields = _fields(line, where)
            if len(fields) != len(header):
                raise DataError(f"{where}: {len(fields)} fields on this line, but the first line names {len(header)}")
            values = dict(zip(header, fields, strict=True))
            file_name = name_inside(values["filepath"], where, "filepath")
            image_id = values.get("image_id") or file_name
            yield _Line(position, image_id, file_name, values.get("title", "").strip())
        position += len(line)


def _fields(line: bytes, where: str) -> list[str]:
    """The fields of a line; a field in quotes loses them, as pandas and spreadsheets write fields that have quotes."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: no UTF-8 ({error})") from error
    return [
        field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field
        for field in text.split("\t")
    ]
