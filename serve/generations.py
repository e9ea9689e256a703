"""Which generation of the index is served: watching `index.json`, opening a new state, keeping old ones for a while.

Every process that reads the index has a keeper of its own. A request names the generation it wants, so that one answer
never mixes two states: a process that has not seen it yet looks again, and one that can no longer get it says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from lexlip.errors import IndexFormatError, StorageError
from lexlip.index.manifest import MANIFEST_NAME
from lexlip.storage import Location, RemotePath, locate


class Generation(Protocol):
    """Anything opened from one published state of an index."""

    @property
    def state(self) -> str:
        """The manifest's; numbers of generations start again where an index is built anew."""


Opened = TypeVar("Opened", bound=Generation)


class GenerationKeeper(Generic[Opened]):
    """The opened generations of one process, newest last; the last one is current."""

    def __init__(self, folder: str | Location, open_current: Callable[[], Opened], kept: int) -> None:
        """Opens the current generation.

        Args:
            folder: the index folder, or its URL.
            open_current: opens whatever is published now; raises `IndexFormatError` when that cannot be served.
            kept: how many generations stay open.
        """
        self._manifest = locate(folder) / MANIFEST_NAME
        self._open_current = open_current
        self._kept = kept
        self._lock = threading.Lock()
        self._signature = self._sign()
        self._opened = [open_current()]
        self.refused: str | None = None

    @property
    def current(self) -> Opened:
        """The newest generation that could be opened."""
        return self._opened[-1]

    def get(self, state: str) -> Opened | None:
        """The generation of this state, looking for a new one when it is not open; None when it is out of reach."""
        found = self._find(state)
        if found is None:
            # Another thread may have opened it while this one waited for its turn, so what `refresh` did is no answer.
            self.refresh()
            found = self._find(state)
        return found

    def refresh(self) -> bool:
        """Opens the published generation when `index.json` has changed; True when `current` is another one now.

        A state that cannot be opened or served leaves the current one in place; `refused` then says why. One that
        could not be fetched is tried again at the next look.
        """
        with self._lock:
            try:
                signature = self._sign()
                if signature == self._signature:
                    return False
                opened = self._open_current()
            except (StorageError, OSError) as error:
                self._signature = None
                self.refused = str(error)
                return False
            except IndexFormatError as error:
                self._signature = signature
                self.refused = str(error)
                return False
            # The signature is from before opening: a state published meanwhile is seen at the next look.
            self._signature, self.refused = signature, None
            if opened.state == self.current.state:
                return False
            self._opened = [*self._opened, opened][-self._kept :]
            return True

    def _find(self, state: str) -> Opened | None:
        return next((opened for opened in reversed(self._opened) if opened.state == state), None)

    def _sign(self) -> tuple[object, ...] | None:
        if isinstance(self._manifest, RemotePath):
            # Stores tell times to the second, in which two states can be published.
            return (self._manifest.read_bytes(),)
        if not self._manifest.is_file():
            return None
        status = self._manifest.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
