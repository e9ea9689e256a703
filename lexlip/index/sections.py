"""The container of the binary files of an index: named arrays, each with a checksum, ready to be memory-mapped.

    0      magic "LEXLIPIX", kind of file (8 bytes), format version (u32), number of sections (u32), bytes of the
    file (u64)
    32     per section: name (24 bytes), numpy type (8 bytes), offset, bytes, items, XXH64 (u64 each); bytes include
    the padding
    4088   XXH64 of the 4,088 bytes before, which is also the checksum of the file in the manifest
    4096   the sections, each padded with zeros to a multiple of 64 bytes

Every byte of a file is thus under a checksum. The header is checked on open, a section when `Sections.verify` is
called.
"""

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lexlip.errors import IndexFormatError
from lexlip.index.checksum import checksum
from lexlip.index.manifest import FORMAT_VERSION, FileEntry, publish_file

_MAGIC = b"LEXLIPIX"
_PREFIX = struct.Struct("<8s8sIIQ")
_SECTION = struct.Struct("<24s8sQQQQ")
_HEADER_BYTES = 4096
_ALIGNMENT = 64


def write_sections(folder: Path, stem: str, kind: str, arrays: Mapping[str, np.ndarray]) -> FileEntry:
    """Writes arrays as one immutable file `{stem}-{checksum}.{kind}`, complete or not at all.

    Args:
        folder: the index folder.
        stem: start of the file name, such as "shard-00003".
        kind: what the file is, at most 8 letters; it is the file's suffix.
        arrays: one-dimensional arrays by name.
    """
    temporary = folder / f"{stem}.{kind}.tmp-{os.getpid()}"
    try:
        size, header_checksum = _write_content(temporary, kind, arrays)
        entry = FileEntry(f"{stem}-{header_checksum:016x}.{kind}", size, f"{header_checksum:016x}")
        publish_file(temporary, folder / entry.name)
    finally:
        temporary.unlink(missing_ok=True)
    return entry


def _write_content(path: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Writes header and sections durably; returns the size of the file and the checksum of its header."""
    table = []
    offset = _HEADER_BYTES
    with path.open("wb") as file:
        file.write(bytes(_HEADER_BYTES))
        for name, array in arrays.items():
            content = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
            padding = -content.size % _ALIGNMENT
            if padding:
                content = np.concatenate([content, np.zeros(padding, np.uint8)])
            file.write(content.data)
            numpy_type = np.dtype(array.dtype).str.encode()
            table.append(_SECTION.pack(name.encode(), numpy_type, offset, content.size, array.size, checksum(content)))
            offset += content.size
        header = _PREFIX.pack(_MAGIC, kind.encode(), FORMAT_VERSION, len(table), offset) + b"".join(table)
        header = header.ljust(_HEADER_BYTES - 8, b"\0")
        header_checksum = checksum(header)
        file.seek(0)
        file.write(header + struct.pack("<Q", header_checksum))
        file.flush()
        os.fsync(file.fileno())
    return offset, header_checksum


def map_file(folder: Path, entry: FileEntry) -> np.ndarray:
    """Maps a file of the index as read-only bytes.

    Raises:
        IndexFormatError: the file is missing or has another size than its entry.
    """
    path = folder / entry.name
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.bytes:
                raise IndexFormatError(
                    f"{path}: {size} bytes where the manifest says {entry.bytes}; the file was cut or replaced. "
                    f"Copy it again or "
                    f"build the index again."
                )
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except FileNotFoundError:
        raise IndexFormatError(
            f"{path}: missing, though the manifest names it. Copy the whole folder or build the index again."
        ) from None


class Sections:
    """A mapped file written by `write_sections`.

    Attributes:
        path: where it is.
        bytes: size of the file.
        data: [bytes] uint8, the whole file, read-only.
    """

    def __init__(self, folder: Path, entry: FileEntry, kind: str) -> None:
        """Maps the file and checks its header.

        Raises:
            IndexFormatError: missing, cut, foreign, damaged, or of another format version.
        """
        self.path = folder / entry.name
        self.bytes = entry.bytes
        self.data = map_file(folder, entry)
        if self.data.size < _HEADER_BYTES or bytes(self.data[:8]) != _MAGIC:
            raise IndexFormatError(f"{self.path}: this is not a file of a LexLIP index.")
        written = int(self.data[_HEADER_BYTES - 8 : _HEADER_BYTES].view(np.uint64)[0])
        if written != checksum(self.data[: _HEADER_BYTES - 8]) or f"{written:016x}" != entry.checksum:
            raise IndexFormatError(
                f"{self.path}: the checksum of its header does not fit; the file is damaged or not the one published."
            )
        header = self.data[:_HEADER_BYTES].tobytes()
        _, found_kind, version, count, size = _PREFIX.unpack_from(header)
        if version != FORMAT_VERSION:
            raise IndexFormatError(
                f"{self.path}: format version {version}, but this program reads version {FORMAT_VERSION}."
            )
        if found_kind.rstrip(b"\0").decode() != kind or size != self.data.size:
            raise IndexFormatError(
                f"{self.path}: holds {found_kind!r} in {size} bytes, not {kind!r} in {self.data.size}."
            )
        self._table: dict[str, tuple[np.dtype, int, int, int, int]] = {}
        for number in range(count):
            name, numpy_type, offset, length, items, section_checksum = _SECTION.unpack_from(
                header, _PREFIX.size + number * _SECTION.size
            )
            dtype = np.dtype(numpy_type.rstrip(b"\0").decode())
            self._table[name.rstrip(b"\0").decode()] = (dtype, offset, length, items, section_checksum)

    def __getitem__(self, name: str) -> np.ndarray:
        """A read-only view of a section; its content is not checked (see `verify`)."""
        dtype, offset, _, items, _ = self._table[name]
        return self.data[offset : offset + items * dtype.itemsize].view(dtype)

    def offset(self, name: str) -> int:
        """The byte of the file at which a section begins."""
        return self._table[name][1]

    def verify(self, *names: str) -> None:
        """Checks the named sections, or all of them, against their checksums.

        Raises:
            IndexFormatError: naming the file and the damaged section.
        """
        for name in names or self._table:
            _, offset, length, _, written = self._table[name]
            if checksum(self.data[offset : offset + length]) != written:
                raise IndexFormatError(
                    f"{self.path}: section {name} is damaged (its checksum does not fit). Copy the file again or "
                    f"build the index again."
                )
