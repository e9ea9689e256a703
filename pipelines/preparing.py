"""From a source of pairs to one folder of Parquet per split: Ray tasks decode and shrink, then rows are dealt out.

Units of the source become hidden parts, one by one, which an interrupted job finds again. Then exact copies and
repeated ids are looked for (16 bytes and an id a row in memory, no image), and the parts stream into shards.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import ray

from lexlip.data.images import ImageLimits
from lexlip.data.preparing import PrepareSettings, prepare_rows
from lexlip.data.sources import PairUnit, open_pairs, read_unit
from lexlip.errors import DataError
from pipelines.prepared_splits import deal_out, find_keepers
from pipelines.vector_parts import SUMMARY_FILE, DroppedRow, PartReport, part_files, read_report, write_json, write_part

RECORD_FILE = "preparing.json"
PARTS_FOLDER = ".parts"  # hidden from readers of pairs
READ_ROWS = 16  # rows of encoded images held at a time; one may have 32 MB
TASKS_PER_CPU = 2  # one at work, one waiting
NAMED_ROWS = 100  # dropped rows named in the summary
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class PrepareSummary:
    """What was made of a source; kept as `summary.json` beside the splits.

    Attributes:
        data: location of the source.
        rows: rows in it.
        splits: rows of each split that has any.
        copies: rows dropped because their picture was there already.
        dropped_rows: all rows dropped, copies included.
        dropped: the first of them, by name.
        seconds: time of this run.
    """

    data: str
    rows: int
    splits: dict[str, int]
    copies: int
    dropped_rows: int
    dropped: list[DroppedRow]
    seconds: float

    def print(self, out: Path) -> None:
        """Says what was made and which rows were dropped."""
        splits = ", ".join(f"{rows:,} in {out / split}" for split, rows in self.splits.items())
        print(f"prepare: {self.rows:,} rows read, {splits}; {self.seconds:.1f} s", flush=True)
        if self.dropped_rows:
            print(f"prepare: {self.dropped_rows:,} row(s) dropped, {self.copies:,} of them copies:")
            for row in self.dropped:
                print(f"  {row.id}: {row.reason}")
            if self.dropped_rows > len(self.dropped):
                print(f"  ... and {self.dropped_rows - len(self.dropped):,} more")


def prepare_source(data: str, out: Path, settings: PrepareSettings) -> PrepareSummary:
    """Prepares a source, or finishes an interrupted job; a finished one is left as it is.

    Args:
        data: location of pairs, as for `open_pairs`.
        out: folder for the splits.
        settings: what becomes of the rows.

    Raises:
        DataError: the source is not usable, not one row of it is, or `out` holds something else.
    """
    began = time.perf_counter()
    source = open_pairs(data, captions_required=settings.captions_required)
    parts_folder = (out / PARTS_FOLDER).absolute()
    _claim(out, data, settings)
    if (out / SUMMARY_FILE).is_file():
        summary = _read_summary(out / SUMMARY_FILE)
        print(f"prepare: finished before ({out / SUMMARY_FILE}); remove {out} to do it again", flush=True)
        return summary
    parts_folder.mkdir(parents=True, exist_ok=True)
    parts = part_files(parts_folder, source.units)
    missing = [(unit, file) for unit, file in zip(source.units, parts, strict=True) if not file.is_file()]
    if len(missing) < len(parts):
        print(f"prepare: {len(parts) - len(missing)} of {len(parts)} parts are already there", flush=True)
    _prepare_missing(missing, settings)
    dropped = [row for part in parts for row in read_report(part).dropped]
    keepers = find_keepers(parts, settings)
    splits = deal_out(parts, keepers, out, settings)
    if not splits:
        reason = (dropped + keepers.dropped)[0].reason
        raise DataError(f"{data}: not one row could be used, the first because: {reason}")
    dropped += keepers.dropped
    summary = PrepareSummary(
        data=data,
        rows=source.rows,
        splits=splits,
        copies=keepers.copies,
        dropped_rows=len(dropped),
        dropped=dropped[:NAMED_ROWS],
        seconds=round(time.perf_counter() - began, 2),
    )
    write_json(out / SUMMARY_FILE, dataclasses.asdict(summary))
    shutil.rmtree(parts_folder)
    summary.print(out)
    return summary


def _claim(out: Path, data: str, settings: PrepareSettings) -> None:
    """Makes the folder belong to this job, or checks that it already does."""
    record = {"data": data, **dataclasses.asdict(settings)}
    file = out / RECORD_FILE
    if file.is_file():
        if json.loads(file.read_text(encoding="utf-8")) != record:
            raise DataError(f"{out}: holds pairs prepared from other data or with other settings; give another folder")
    elif out.exists() and any(out.iterdir()):
        raise DataError(f"{out}: is not empty, and not from this program; give another folder")
    else:
        write_json(file, record)


def _read_summary(file: Path) -> PrepareSummary:
    record = json.loads(file.read_text(encoding="utf-8"))
    return PrepareSummary(**{**record, "dropped": [DroppedRow(**row) for row in record["dropped"]]})


def _prepare_missing(missing: Sequence[tuple[PairUnit, Path]], settings: PrepareSettings) -> None:
    """Runs a task for every part, a few at a time, so that the driver holds no more than those."""
    at_once = max(1, int(ray.cluster_resources().get("CPU", 1))) * TASKS_PER_CPU
    waiting = list(reversed(missing))
    running: list[ray.ObjectRef] = []
    began = last = time.perf_counter()
    rows = done = 0
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(_prepare_unit.remote(*waiting.pop(), settings))
        finished, running = ray.wait(running)
        rows, done = rows + sum(ray.get(finished)), done + len(finished)
        now = time.perf_counter()
        if now - last >= PROGRESS_SECONDS:
            last = now
            print(f"prepare: {done} of {len(missing)} parts, {rows / (now - began):.0f} pictures/s", flush=True)


@ray.remote(num_cpus=1)
def _prepare_unit(unit: PairUnit, file: Path, settings: PrepareSettings) -> int:
    """Writes the part of one unit; returns its rows."""
    prepared = [prepare_rows(table, settings, ImageLimits()) for table in read_unit(unit, batch_rows=READ_ROWS)]
    table = pa.concat_tables([rows.table for rows in prepared], promote_options="permissive")
    dropped = tuple(DroppedRow(*row) for rows in prepared for row in rows.dropped)
    write_part(file, table, PartReport(table.num_rows, dropped, maximum_weight=0.0))
    return table.num_rows
