"""Prepared parts dealt out to the splits: copies and repeated ids are left out, the rest streams into shards."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.data.preparing import DIGEST_COLUMN, TRAIN, PrepareSettings, clean_captions, rows_to_keep, splits_of
from pipelines.vector_parts import DroppedRow

ROW_GROUP_ROWS = 256


@dataclass(frozen=True)
class Keepers:
    """Which rows of the parts stay.

    Attributes:
        keep: [N] bool, over the rows of all parts in order.
        more_captions: row -> captions of its copies in the same split.
        dropped: the other rows.
        copies: how many of them are copies.
    """

    keep: np.ndarray
    more_captions: dict[int, list[str]]
    dropped: list[DroppedRow]
    copies: int


def find_keepers(parts: Sequence[Path], settings: PrepareSettings) -> Keepers:
    """Looks for exact copies and repeated ids; reads no image.

    Raises:
        DataError: own splits are wanted, and the source has none that are known.
    """
    identifiers: list[str] = []
    splits: list[str] = []
    digests = [np.empty(0, "S0")]
    for part in parts:
        table = pq.read_table(part, columns=_columns_of(part, ("image_id", DIGEST_COLUMN, "split")))
        identifiers += table["image_id"].to_pylist()
        splits += splits_of(table, settings)
        # Hexadecimal, because NumPy's byte strings lose trailing zeros.
        digests.append(np.array([digest.hex() for digest in table[DIGEST_COLUMN].to_pylist()], dtype="S"))
    everything = np.concatenate(digests)
    keep, keeper = np.ones(everything.size, bool), np.arange(everything.size)
    if settings.deduplicate:
        own = settings.own_splits
        protected = np.array([own and split != TRAIN for split in splits], bool)
        keep, keeper = rows_to_keep(everything, protected)
    copies = np.flatnonzero(~keep).tolist()
    dropped = [
        DroppedRow(identifiers[row], f"the picture is the same as that of {identifiers[keeper[row]]}") for row in copies
    ]
    seen: set[str] = set()
    for row in np.flatnonzero(keep).tolist():
        if identifiers[row] in seen:
            keep[row] = False
            dropped.append(DroppedRow(identifiers[row], "the image id was there before, with another picture"))
        seen.add(identifiers[row])
    same_split = {row: int(keeper[row]) for row in copies if splits[row] == splits[keeper[row]]}
    return Keepers(keep, _captions_of_copies(parts, same_split), dropped, len(copies))


def deal_out(parts: Sequence[Path], keepers: Keepers, out: Path, settings: PrepareSettings) -> dict[str, int]:
    """Writes the shards of all splits; each appears by rename, and the same parts always give the same shards.

    Returns:
        the rows of each split that has any.
    """
    schema = pa.unify_schemas([pq.read_schema(part).remove_metadata() for part in parts], promote_options="permissive")
    schema = schema.remove(schema.get_field_index(DIGEST_COLUMN))
    writers: dict[str, _SplitWriter] = {}
    for first_row, table in _tables(parts):
        for split, rows in _by_split(table, keepers.keep[first_row : first_row + table.num_rows], settings).items():
            chosen = _with_more_captions(table.take(pa.array(rows)), [first_row + row for row in rows], keepers)
            chosen = chosen.drop_columns(DIGEST_COLUMN)
            chosen = pa.concat_tables([schema.empty_table(), chosen], promote_options="permissive")
            writer = writers.setdefault(split, _SplitWriter(out / split, split, settings.shard_rows))
            writer.add(chosen.select(schema.names).cast(schema))
    for writer in writers.values():
        writer.finish()
    return {split: writers[split].rows for split in sorted(writers)}


@dataclass
class _SplitWriter:
    """Shards of one split, `<split>-00000.parquet`, ..., full but for the last."""

    folder: Path
    split: str
    shard_rows: int
    rows: int = 0
    shards: int = 0
    pending: list[pa.Table] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Takes rows; writes shards that are full."""
        self.rows += table.num_rows
        self.pending.append(table)
        while sum(part.num_rows for part in self.pending) >= self.shard_rows:
            gathered = pa.concat_tables(self.pending)
            self._write(gathered.slice(0, self.shard_rows))
            self.pending = [gathered.slice(self.shard_rows)]

    def finish(self) -> None:
        """Writes the rest."""
        rest = pa.concat_tables(self.pending)
        if rest.num_rows:
            self._write(rest)

    def _write(self, table: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{self.split}-{self.shards:05d}.parquet"
        temporary = file.with_name(f".{file.name}.tmp-{os.getpid()}")
        pq.write_table(table, temporary, row_group_size=ROW_GROUP_ROWS)
        temporary.replace(file)
        self.shards += 1


def _tables(parts: Sequence[Path]) -> Iterator[tuple[int, pa.Table]]:
    """The parts one after the other, each with the number of its first row."""
    first_row = 0
    for part in parts:
        table = pq.read_table(part)
        yield first_row, table
        first_row += table.num_rows


def _by_split(table: pa.Table, keep: np.ndarray, settings: PrepareSettings) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, split in enumerate(splits_of(table, settings)):
        if keep[row]:
            rows.setdefault(split, []).append(row)
    return rows


def _with_more_captions(table: pa.Table, rows: list[int], keepers: Keepers) -> pa.Table:
    """The captions of copies put behind a row's own."""
    if not any(row in keepers.more_captions for row in rows):
        return table
    captions = [
        clean_captions(own + keepers.more_captions.get(row, []))
        for row, own in zip(rows, table["captions"].to_pylist(), strict=True)
    ]
    place = table.schema.get_field_index("captions")
    return table.set_column(place, "captions", pa.array(captions, pa.list_(pa.string())))


def _captions_of_copies(parts: Sequence[Path], keeper_of: dict[int, int]) -> dict[int, list[str]]:
    more: dict[int, list[str]] = {}
    first_row = 0
    for part in parts:
        rows = pq.read_metadata(part).num_rows
        own = [row for row in range(first_row, first_row + rows) if row in keeper_of]
        if own:
            captions = pq.read_table(part, columns=["captions"])["captions"]
            for row in own:
                more.setdefault(keeper_of[row], []).extend(captions[row - first_row].as_py())
        first_row += rows
    return more


def _columns_of(part: Path, wanted: Sequence[str]) -> list[str]:
    names = pq.read_schema(part).names
    return [name for name in wanted if name in names]
