"""Short work runs on the event loop, long work in a thread.

Where all cores are busy, handing work to a thread and taking back what it made costs milliseconds, many times what a
search of a small shard takes. Long work, on the other hand, would keep a replica from hearing anything else. How long
the work has usually taken decides, so a replica of a large shard or model goes to threads by itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")

SHORT_MS = 2.0  # about what a handle call costs: nobody waits for the event loop longer than for the call itself
REMEMBERED = 0.9  # of the usual time at each piece of work


class ShortWork:
    """Runs functions of one kind; while any of them is in a thread, so are all others.

    Args:
        threads: for work that usually takes long.
        clock: seconds.
    """

    def __init__(self, threads: ThreadPoolExecutor, clock: Callable[[], float] = time.perf_counter) -> None:
        self._threads, self._clock = threads, clock
        self._usual_ms = math.inf  # nothing is known yet
        self._in_threads = 0

    async def run(self, work: Callable[[], Made], in_thread: Callable[[], Made] | None = None) -> Made:
        """What `work()` makes, on the event loop or in a thread; there `in_thread` does the same, if it is given."""
        if self._usual_ms < SHORT_MS and not self._in_threads:
            return self._timed(work)
        return await self.run_unusual(lambda: self._timed(in_thread or work))

    async def run_unusual(self, work: Callable[[], Made]) -> Made:
        """The same for work that may take long whatever was usual: always in a thread, and not counted."""
        loop = asyncio.get_running_loop()
        running = self._threads.submit(work)
        self._in_threads += 1
        # A caller that gives up leaves work behind that still runs: it is over when the thread says so.
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._one_less))
        return await asyncio.wrap_future(running)

    def _one_less(self) -> None:
        self._in_threads -= 1

    def _timed(self, work: Callable[[], Made]) -> Made:
        started = self._clock()
        try:
            return work()
        finally:
            took_ms = (self._clock() - started) * 1000
            known = math.isfinite(self._usual_ms)
            self._usual_ms = REMEMBERED * self._usual_ms + (1 - REMEMBERED) * took_ms if known else took_ms
