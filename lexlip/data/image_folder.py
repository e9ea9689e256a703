"""Pairs in an image folder: files, and one JSON object a line in `metadata.jsonl` or `captions.jsonl`.

A line names its file (`file_name`, relative to the folder) and holds `captions` (a list), `caption` or `text`:

    {"file_name": "dogs/1.jpg", "captions": ["a dog", "a brown dog runs"]}
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa

from lexlip.data.image_files import image_bytes, name_inside
from lexlip.data.locations import Location
from lexlip.errors import DataError
from lexlip.storage import open_filesystem
from lexlip.tables import PAIR_SCHEMA

CAPTION_KEYS = ("captions", "caption", "text")
_ARROW_TYPES = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}


@dataclass(frozen=True)
class ImageFolderUnit:
    """Some lines of one metadata file.

    Attributes:
        file: the metadata file, with its protocol unless local; image names are relative to its folder.
        first_byte: where the first line begins.
        rows: how many lines with an object on them.
        other_columns: names and types ("bool", "int", "float", "str") of the further keys, the same for all units.
    """

    file: str
    first_byte: int
    rows: int
    other_columns: tuple[tuple[str, str], ...] = ()


def image_folder_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[ImageFolderUnit]:
    """The units of one metadata file. All lines are read and checked, no image is.

    Raises:
        DataError: naming the line that is no object, names no file or one outside of the folder, or has no captions.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options((), name)
    starts: list[int] = []
    rows = 0
    types: dict[str, set[str]] = {}
    with filesystem.open(path, "rb") as lines:
        for number, (first_byte, entry) in enumerate(_entries(lines, name, 0), start=1):
            name_inside(entry.get("file_name"), f"{name}, entry {number}")
            if captions_required and not any(key in entry for key in CAPTION_KEYS):
                raise DataError(f"{name}, entry {number}: no {', '.join(CAPTION_KEYS[:-1])} or {CAPTION_KEYS[-1]}")
            _captions(entry, f"{name}, entry {number}")
            for key in _other_keys(entry):
                if entry[key] is not None:
                    types.setdefault(key, set()).add(type(entry[key]).__name__)
            if rows % unit_rows == 0:
                starts.append(first_byte)
            rows += 1
    other_columns = tuple((key, _column_type(types[key])) for key in sorted(types))
    for position, first_byte in enumerate(starts):
        yield ImageFolderUnit(name, first_byte, min(unit_rows, rows - position * unit_rows), other_columns)


def read_image_folder(unit: ImageFolderUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; a file that is not there becomes a row whose image is null."""
    filesystem, path = open_filesystem(unit.file)
    folder = str(PurePosixPath(path).parent)
    left = unit.rows
    with filesystem.open(path, "rb") as lines:
        lines.seek(unit.first_byte)
        entries = _entries(lines, unit.file, unit.first_byte)
        while left > 0:
            batch = [entry for _, entry in islice(entries, min(batch_rows, left))]
            if not batch:
                raise DataError(f"{unit.file}: ended early; the file has changed since it was opened")
            left -= len(batch)
            yield _as_pairs(batch, filesystem, folder, unit)


def _entries(lines: Any, name: str, position: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of the lines, each with the byte at which its line begins; blank lines are passed over."""
    for line in lines:
        if line.strip():
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise DataError(f"{name}, byte {position}: this line is no JSON ({error})") from error
            if not isinstance(entry, dict):
                raise DataError(f"{name}, byte {position}: this line is no JSON object")
            yield position, entry
        position += len(line)


def _captions(entry: dict[str, Any], where: str) -> list[str | None]:
    found: Any = next((entry[key] for key in CAPTION_KEYS if entry.get(key) is not None), [])
    captions = [found] if isinstance(found, str) else found
    if not isinstance(captions, list) or not all(caption is None or isinstance(caption, str) for caption in captions):
        raise DataError(f"{where}: captions must be a string or a list of strings")
    return captions


def _other_keys(entry: dict[str, Any]) -> list[str]:
    return [key for key in entry if key not in {"file_name", *CAPTION_KEYS, *PAIR_SCHEMA.names}]


def _column_type(types: set[str]) -> str:
    """One type for all values of a key: numbers stay numbers, and what is mixed or nested becomes JSON text."""
    if types == {"int", "float"}:
        return "float"
    return types.pop() if len(types) == 1 and types <= _ARROW_TYPES.keys() else "str"


def _as_pairs(
    batch: list[dict[str, Any]], filesystem: fsspec.AbstractFileSystem, folder: str, unit: ImageFolderUnit
) -> pa.Table:
    names = [name_inside(entry.get("file_name"), unit.file) for entry in batch]
    images = [image_bytes(filesystem, f"{folder}/{name}") for name in names]
    captions = [_captions(entry, unit.file) for entry in batch]
    table = pa.table({"image_id": names, "image": images, "captions": captions}, schema=PAIR_SCHEMA)
    for name, kind in unit.other_columns:
        values = [_column_value(entry.get(name), kind) for entry in batch]
        table = table.append_column(name, pa.array(values, _ARROW_TYPES[kind]))
    return table


def _column_value(value: Any, kind: str) -> Any:
    return value if value is None or kind != "str" or isinstance(value, str) else json.dumps(value)
