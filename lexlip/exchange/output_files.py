"""Files of an export: many lines or one array, each written under a temporary name and then renamed."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lexlip.errors import DataError


@contextmanager
def appearing_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to; it gets its name when the block ends without an error, and leaves nothing otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_lines(path: Path, records: Iterable[Any]) -> int:
    """One JSON value a line; returns how many."""
    count = 0
    with appearing_whole(path) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            count += 1
    return count


def write_record(path: Path, record: Any) -> None:
    """One JSON value, indented."""
    with appearing_whole(path) as file:
        file.write(json.dumps(record, ensure_ascii=False, indent=2).encode() + b"\n")


def empty_folder(path: Path) -> Path:
    """The folder of an export, made if needed.

    Raises:
        DataError: there is something in it, which would mix with the export.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} is not an empty folder: give another one, or remove it")
    path.mkdir(parents=True, exist_ok=True)
    return path


def stored_for_json(stored: dict[str, Any]) -> dict[str, Any]:
    """Stored fields but the id and those with bytes (thumbnails), which JSON cannot hold."""
    return {name: value for name, value in stored.items() if name != "id" and not isinstance(value, bytes)}
