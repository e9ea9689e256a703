"""Stored fields: one Arrow IPC file a shard, uncompressed, of which one row is read without reading others.

Rows are written in small record batches. Where each batch begins and its checksum are kept in the identifiers file,
so that a batch is
mapped, checked on first use and decoded alone; other programs can read the file as any Arrow IPC file.
"""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lexlip.errors import DataError, IndexFormatError
from lexlip.index.checksum import checksum
from lexlip.index.manifest import FileEntry, publish_file
from lexlip.index.sections import Sections, map_file

BATCH_ROWS = 64  # what is checked on the first use of a row: with thumbnails of 8 KB about half a megabyte
_MAGIC_BYTES = 8  # "ARROW1" and two zeros, before the schema


class StoredWriter:
    """Writes the stored fields of a shard in the order of positions, complete or not at all."""

    def __init__(self, folder: Path, stem: str, schema: pa.Schema) -> None:
        """Begins a temporary file in `folder`."""
        self._folder, self._stem, self._schema = folder, stem, schema
        self._temporary = folder / f"{stem}.stored.tmp-{os.getpid()}"
        self._sink = pa.OSFile(str(self._temporary), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._offsets: list[int] = []

    def __enter__(self) -> "StoredWriter":
        """The writer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Removes the temporary file when it was not published."""
        if not self._sink.closed:
            self._sink.close()
        self._temporary.unlink(missing_ok=True)

    def append(self, rows: pa.RecordBatch) -> None:
        """Adds rows.

        Raises:
            DataError: the columns differ from those of the first file.
        """
        if not rows.schema.equals(self._schema):
            raise DataError(
                f"{self._stem}: the vector files differ in their columns: {rows.schema.to_string()} against "
                f"{self._schema.to_string()} in the first."
            )
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        if self._pending_rows >= BATCH_ROWS:
            self._flush(complete=False)

    def id_of(self, row: int) -> str:
        """The id of a row that was added; for messages, so it may be slow."""
        self._flush(complete=True)
        self._writer.close()
        self._sink.close()
        with pa.memory_map(str(self._temporary)) as source:
            return pa.ipc.open_file(source).read_all().column("id")[row].as_py()

    def _flush(self, complete: bool) -> None:
        table = pa.Table.from_batches(self._pending, self._schema)
        whole = table.num_rows if complete else table.num_rows // BATCH_ROWS * BATCH_ROWS
        for start in range(0, whole, BATCH_ROWS):
            self._offsets.append(self._sink.tell())
            part = table.slice(start, min(BATCH_ROWS, whole - start)).combine_chunks()
            self._writer.write_batch(part.to_batches()[0])
        self._pending = table.slice(whole).to_batches()
        self._pending_rows = table.num_rows - whole

    def finish(self) -> tuple[FileEntry, dict[str, np.ndarray]]:
        """Publishes the file under a name made from its content.

        Returns:
            its entry, and the arrays that belong into the identifiers file: `part_offsets` [batches + 2] uint64 (the
            batches, the first
            with the head of the file, and the tail) and `part_checksums` [batches + 1] uint64.
        """
        self._flush(complete=True)
        self._offsets.append(self._sink.tell())
        self._writer.close()
        self._sink.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        size = self._temporary.stat().st_size
        offsets = np.array([0, *self._offsets[1:], size], np.uint64)
        content = map_file(self._folder, FileEntry(self._temporary.name, size, ""))
        checksums = np.array(
            [checksum(content[int(start) : int(end)]) for start, end in itertools.pairwise(offsets)],
            np.uint64,
        )
        whole = checksum(checksums)
        entry = FileEntry(f"{self._stem}-{whole:016x}.stored", size, f"{whole:016x}")
        publish_file(self._temporary, self._folder / entry.name)
        return entry, {"part_offsets": offsets, "part_checksums": checksums}


class StoredFields:
    """The stored fields of an open shard."""

    def __init__(self, folder: Path, entry: FileEntry, identifiers: Sections) -> None:
        """Maps the file.

        Raises:
            IndexFormatError: missing, cut, or not the file that the identifiers describe.
        """
        identifiers.verify("part_offsets", "part_checksums")
        self._path = folder / entry.name
        self._offsets = identifiers["part_offsets"]
        self._checksums = identifiers["part_checksums"]
        if f"{checksum(self._checksums):016x}" != entry.checksum or int(self._offsets[-1]) != entry.bytes:
            raise IndexFormatError(f"{self._path}: the identifiers file describes another file of stored fields.")
        self._data = map_file(folder, entry)
        self._checked = np.zeros(self._checksums.size, bool)
        self._schema: pa.Schema | None = None

    def _part(self, number: int) -> pa.Buffer:
        """A verified part of the file."""
        content = self._data[int(self._offsets[number]) : int(self._offsets[number + 1])]
        if not self._checked[number]:
            if checksum(content) != int(self._checksums[number]):
                raise IndexFormatError(
                    f"{self._path}: bytes {self._offsets[number]} to {self._offsets[number + 1]} are damaged. "
                    f"Copy the file again or build "
                    f"the index again."
                )
            self._checked[number] = True
        return pa.py_buffer(content)

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the stored fields."""
        if self._schema is None:
            self._schema = pa.ipc.read_schema(self._part(0).slice(_MAGIC_BYTES))
        return self._schema

    def batch(self, number: int) -> pa.RecordBatch:
        """Rows [number x BATCH_ROWS, ...)."""
        schema = self.schema
        reader = pa.BufferReader(self._part(number))
        if number == 0:
            reader.seek(_MAGIC_BYTES)
            pa.ipc.read_message(reader)  # the schema
        return pa.ipc.read_record_batch(pa.ipc.read_message(reader), schema)

    def row(self, position: int) -> dict[str, Any]:
        """The stored fields of one document."""
        batch = self.batch(position // BATCH_ROWS)
        return batch.slice(position % BATCH_ROWS, 1).to_pylist()[0]

    @property
    def batches(self) -> int:
        """Number of record batches."""
        return self._checksums.size - 1

    def verify(self) -> None:
        """Checks every byte of the file.

        Raises:
            IndexFormatError: naming the file and the damaged bytes.
        """
        self._checked[:] = False
        for number in range(self._checksums.size):
            self._part(number)
