"""Stages of a chain of work, each done once: what finished with the same settings is not done again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lexlip.errors import DataError
from pipelines.vector_parts import write_json

LOG_FILE = "stages.json"


@dataclass
class StageLog:
    """The finished stages of a folder, kept in its `stages.json`.

    Attributes:
        folder: where the stages leave their things.
    """

    folder: Path

    @property
    def seconds(self) -> dict[str, float]:
        """How long each finished stage took when it was done."""
        return {name: entry["seconds"] for name, entry in self._read().items()}

    def run(self, name: str, settings: str, work: Callable[[], None]) -> bool:
        """Does a stage, unless it has finished with the same settings before.

        Args:
            name: of the stage.
            settings: everything that decides its outcome, as text.
            work: does it; has to cope with what an interrupted run of itself left behind.

        Returns:
            Whether it was done now.

        Raises:
            DataError: the stage has finished with other settings; nothing is thrown away or mixed.
        """
        done = self._read().get(name)
        if done is not None and done["settings"] != settings:
            raise DataError(
                f"{self.folder}: {name!r} was made there with other settings; give another --out, or remove the folder"
            )
        if done is not None:
            print(f"\n== {name}: finished before, in {done['seconds']:.1f} s", flush=True)
            return False
        print(f"\n== {name}", flush=True)
        began = time.perf_counter()
        work()
        seconds = round(time.perf_counter() - began, 1)
        write_json(self.folder / LOG_FILE, {**self._read(), name: {"settings": settings, "seconds": seconds}})
        print(f"== {name}: {seconds:.1f} s", flush=True)
        return True

    def _read(self) -> dict:
        file = self.folder / LOG_FILE
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
