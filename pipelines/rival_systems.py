"""What the systems that are compared have in common: one setting of one index, how to ask it, what it answers."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lexlip.evaluation.timing import TimedSystem
from pipelines.vector_parts import write_json


@dataclass(frozen=True)
class RivalSystem:
    """One system in one setting, over some documents.

    Attributes:
        name: of the family, such as "lexlip" or "faiss-flat".
        setting: what distinguishes it from others of the same family.
        documents: how many it searches.
        bytes_per_document: size of its index.
        build_seconds: what building took.
        timed: how it is called, on one thread.
        hits: [Q, 10] int64 positions that it answers, best first, -1 where fewer: on all cores, as fast as it goes.
    """

    name: str
    setting: dict[str, str | int]
    documents: int
    bytes_per_document: float
    build_seconds: float
    timed: TimedSystem
    hits: Callable[[], np.ndarray]

    @property
    def answer_key(self) -> str:
        """Name of its answers: those of batches are those of single queries."""
        words = [f"{name}-{value}" for name, value in self.setting.items() if name != "batch"]
        return "-".join([self.name, *words, str(self.documents)])


@dataclass(frozen=True)
class Built:
    """An index on disk.

    Attributes:
        path: file or folder of the index.
        bytes: its size.
        seconds: what building it took.
    """

    path: Path
    bytes: int
    seconds: float


def is_built(path: Path) -> bool:
    """Whether `built_once` has finished there."""
    return _note(path).is_file()


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.built.json")


def built_once(path: Path, build: Callable[[], int]) -> Built:
    """Builds an index unless a finished one is there; a note beside it, written last, says that it is.

    Args:
        path: where `build` leaves the index.
        build: builds it, from the beginning, and returns its bytes.
    """
    note = _note(path)
    if not is_built(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"compare: building {path.parent.name}/{path.name}", flush=True)
        began = time.perf_counter()
        size = build()
        write_json(note, {"bytes": size, "seconds": round(time.perf_counter() - began, 2)})
    record = json.loads(note.read_text(encoding="utf-8"))
    return Built(path, record["bytes"], record["seconds"])
