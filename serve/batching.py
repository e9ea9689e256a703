"""Dynamic batches without a timer: while one batch runs, the next one gathers by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Batcher(Generic[Item, Outcome]):
    """Hands items to `run` in batches; a lone item never waits for company.

    Serve's own `@serve.batch` does the same with a waiting time, but works only inside a replica on Ray.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]], largest: int) -> None:
        """Args: `run` gives one outcome per item, in order; `largest` is the most items it is given at a time."""
        self._run = run
        self._largest = largest
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Outcome:
        """The outcome of one item. An error of `run` is raised for every item of its batch."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            # Whoever asked and went away needs no work.
            self._waiting = [(item, future) for item, future in self._waiting if not future.done()]
            batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
            if not batch:
                continue
            try:
                outcomes = await self._run([item for item, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
