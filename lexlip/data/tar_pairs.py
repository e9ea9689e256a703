"""Pairs in WebDataset tars: consecutive members with one key are a sample, its image and its captions by suffix.

000012.jpg, 000012.txt, 000012.json, 000013.jpg, ...

An image's id is its key.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import IO

import fsspec
import pyarrow as pa

from lexlip.data.caption_sidecars import LARGEST_SIDECAR, RECORD_SUFFIX, TEXT_SUFFIXES, words_beside
from lexlip.data.image_files import LARGEST_FILE
from lexlip.data.locations import IMAGE_SUFFIXES, Location
from lexlip.errors import DataError
from lexlip.storage import open_filesystem
from lexlip.tables import PAIR_SCHEMA

TAR_SCHEMA = PAIR_SCHEMA.append(pa.field("url", pa.string()))
HEADER_BYTES = 64 * 2**10  # fetched at a time while headers are read from afar; the contents between are skipped


@dataclass(frozen=True)
class TarUnit:
    """Some consecutive samples of one tar.

    Attributes:
        file: path or URL, with its protocol unless local.
        first_byte: where the header of the first member begins.
        rows: how many samples.
    """

    file: str
    first_byte: int
    rows: int


@dataclass
class _Sample:
    """Where the members of one sample lie.

    Attributes:
        key: path of the members up to the first dot of their name.
        first_byte: where the header of the first begins.
        contents: suffix -> (first byte, bytes) of a member's content.
    """

    key: str
    first_byte: int
    contents: dict[str, tuple[int, int]] = field(default_factory=dict)


def tar_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[TarUnit]:
    """The units of one tar, from the headers of its members.

    Raises:
        DataError: the file is no uncompressed tar, is cut, or has samples but none with captions where they are
            required.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options((), name)
    starts: list[int] = []
    rows, with_captions = 0, False
    with _open(filesystem, path, name, block_size=HEADER_BYTES) as file:
        for sample in _samples(file, name, 0):
            if rows % unit_rows == 0:
                starts.append(sample.first_byte)
            rows += 1
            with_captions |= any(suffix in sample.contents for suffix in (*TEXT_SUFFIXES, RECORD_SUFFIX))
    if captions_required and rows and not with_captions:
        raise DataError(f"{name}: no sample has a .{', .'.join(TEXT_SUFFIXES)} or .{RECORD_SUFFIX} with its captions")
    for position, first_byte in enumerate(starts):
        yield TarUnit(name, first_byte, min(unit_rows, rows - position * unit_rows))


def read_tar(unit: TarUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; a sample without an image becomes a row whose image is null."""
    filesystem, path = open_filesystem(unit.file)
    left = unit.rows
    with _open(filesystem, path, unit.file) as file:
        samples = _samples(file, unit.file, unit.first_byte)
        while left > 0:
            batch = list(islice(samples, min(batch_rows, left)))
            if not batch:
                raise DataError(f"{unit.file}: ended early; the file has changed since it was opened")
            left -= len(batch)
            # Members lie in the order of the samples, so that a batch is read in one sweep once it is located.
            yield pa.Table.from_pylist([_as_pair(file, sample, unit.file) for sample in batch], schema=TAR_SCHEMA)


@contextmanager
def _open(filesystem: fsspec.AbstractFileSystem, path: str, name: str, **options: int) -> Iterator[IO[bytes]]:
    try:
        opened = filesystem.open(path, "rb", **options)
    except OSError as error:
        raise DataError(f"{name}: cannot be opened ({error})") from error
    with opened as file:
        yield file


def _samples(file: IO[bytes], name: str, first_byte: int) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in _members(file, name, first_byte):
        path = PurePosixPath(member.name)
        if not member.isreg() or path.name.startswith("."):
            continue
        stem, _, suffix = path.name.partition(".")
        key = str(path.parent / stem)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key, member.offset)
        sample.contents[suffix.lower()] = (member.offset_data, member.size)
    if sample is not None:
        yield sample


def _members(file: IO[bytes], name: str, first_byte: int) -> Iterator[tarfile.TarInfo]:
    try:
        file.seek(first_byte)
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  closing it would only write an end mark
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would remember every member
            yield member
        # tarfile takes a damaged header for the end.
        file.seek(archive.offset)
        if any(file.read(tarfile.BLOCKSIZE)):
            raise DataError(f"{name}: damaged at byte {archive.offset}; get the file again")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{name}: not a whole, uncompressed tar ({error})") from error


def _as_pair(file: IO[bytes], sample: _Sample, name: str) -> dict[str, object]:
    def content(suffix: str, most: int) -> bytes:
        first_byte, size = sample.contents[suffix]
        file.seek(first_byte)
        return file.read(min(size, most))

    image = next((suffix[1:] for suffix in IMAGE_SUFFIXES if suffix[1:] in sample.contents), None)
    beside = [suffix for suffix in (*TEXT_SUFFIXES, RECORD_SUFFIX) if suffix in sample.contents]
    words = words_beside({suffix: content(suffix, LARGEST_SIDECAR) for suffix in beside}, f"{name}, {sample.key}")
    return {
        "image_id": sample.key,
        "image": content(image, LARGEST_FILE) if image else None,
        "captions": words.captions,
        "url": words.url,
    }
