"""Short work on the event loop, long work in a thread, decided by how long it has taken."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.short_work import SHORT_MS, ShortWork


class Clock:
    """Seconds that pass when work says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def taking(self, milliseconds: float) -> Callable[[], int]:
        """Work that takes so long and says which thread it ran in."""

        def work() -> int:
            self.seconds += milliseconds / 1000
            return threading.get_ident()

        return work


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(clock: Clock) -> Iterator[ShortWork]:
    with ThreadPoolExecutor(2) as threads:
        yield ShortWork(threads, clock)


def test_work_moves_to_the_event_loop_when_it_is_short_and_back_when_it_is_long(work: ShortWork, clock: Clock) -> None:
    async def ask() -> None:
        own = threading.get_ident()
        assert await work.run(clock.taking(0.1)) != own  # nothing is known yet
        assert await work.run(clock.taking(0.1)) == own
        assert await work.run(clock.taking(30 * SHORT_MS)) == own  # nobody could know
        assert await work.run(clock.taking(0.1)) != own
        for _ in range(60):
            await work.run(clock.taking(0.1))
        assert await work.run(clock.taking(0.1)) == own

    asyncio.run(ask())


def test_work_may_be_done_in_another_way_in_a_thread(work: ShortWork, clock: Clock) -> None:
    async def ask() -> None:
        def otherwise() -> str:
            clock.taking(0.1)()
            return "in a thread"

        def plainly() -> str:
            clock.taking(0.1)()
            return "on the event loop"

        assert await work.run(plainly, otherwise) == "in a thread"  # nothing is known yet
        assert await work.run(plainly, otherwise) == "on the event loop"

    asyncio.run(ask())


def test_unusual_work_goes_to_a_thread_and_is_not_counted(work: ShortWork, clock: Clock) -> None:
    async def ask() -> None:
        own = threading.get_ident()
        await work.run(clock.taking(0.1))
        assert await work.run_unusual(clock.taking(30 * SHORT_MS)) != own
        assert await work.run(clock.taking(0.1)) == own

    asyncio.run(ask())


def test_while_something_is_in_a_thread_nothing_runs_beside_it(work: ShortWork, clock: Clock) -> None:
    async def ask() -> None:
        own = threading.get_ident()
        await work.run(clock.taking(0.1))
        go_on = threading.Event()
        waiting: Awaitable[bool] = asyncio.ensure_future(work.run_unusual(lambda: go_on.wait(10)))
        await asyncio.sleep(0)
        assert await work.run(clock.taking(0.1)) != own
        go_on.set()
        assert await waiting
        assert await work.run(clock.taking(0.1)) == own

    asyncio.run(ask())


def test_errors_come_through_either_way(work: ShortWork) -> None:
    def fail() -> None:
        raise ValueError("no")

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await work.run(fail)

    asyncio.run(ask())


def test_work_that_nobody_waits_for_any_more_counts_until_it_is_over(work: ShortWork, clock: Clock) -> None:
    async def ask() -> None:
        await work.run(clock.taking(SHORT_MS / 10))
        started, release = threading.Event(), threading.Event()

        def long() -> None:
            started.set()
            release.wait(10)

        left = asyncio.create_task(work.run_unusual(long))
        while not started.is_set():
            await asyncio.sleep(0.001)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)

        own = threading.get_ident()
        assert await work.run(clock.taking(SHORT_MS / 10)) != own
        release.set()
        while await work.run(clock.taking(SHORT_MS / 10)) != own:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(ask(), 10))
