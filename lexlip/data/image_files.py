"""Image files that a line, an entry or a listing names: their names are checked, then their bytes are read."""

import re

import fsspec

from lexlip.errors import DataError

LARGEST_FILE = 256 * 2**20  # bytes read of one image file; more is refused later as an image that is too large


def name_inside(name: object, where: str, field: str = "file_name") -> str:
    """A file's name, refused unless it stays inside of the folder that it is relative to.

    Raises:
        DataError: no name, or one that leads out of the folder; the message begins with `where`.
    """
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: no {field}")
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:|\w+://|~", name) or "\0" in name:
        raise DataError(f"{where}: {field} {name!r} leads out of the folder")
    return name


def image_bytes(filesystem: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    """The bytes of an image file, at most `LARGEST_FILE`; None when there is none."""
    if not filesystem.isfile(path):
        return None
    with filesystem.open(path, "rb") as file:
        return file.read(LARGEST_FILE)
