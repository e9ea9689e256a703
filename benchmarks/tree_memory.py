"""Peak memory of a process and all it started, Ray's processes included; pages they share count once (Linux)."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.5
KIBIBYTE = 1024


@dataclass
class PeakMemory:
    """What `peak_memory` fills in.

    Attributes:
        before: bytes when the block began.
        peak: the most bytes seen since.
    """

    before: int
    peak: int

    @property
    def growth(self) -> int:
        """Bytes by which the block made memory grow."""
        return self.peak - self.before


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Looks at the memory of this process tree while the block runs."""
    now = tree_bytes()
    seen, ended = PeakMemory(now, now), threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            seen.peak = max(seen.peak, tree_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def tree_bytes() -> int:
    """Proportional set size of this process and its descendants."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    total, waiting = 0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += KIBIBYTE * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total
