"""What is counted and timed is recorded after the answer, and all of it."""

from __future__ import annotations

import asyncio

import pytest

from serve import metrics
from serve.metrics import Afterwards


def test_records_wait_for_the_round_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RECORDED_EVERY_S", 0.05)
    recorded: list[int] = []

    async def answer() -> None:
        afterwards = Afterwards()
        for number in range(3):
            afterwards(lambda number=number: recorded.append(number))
        assert recorded == []
        await asyncio.sleep(0.2)
        assert recorded == [0, 1, 2]
        afterwards(lambda: recorded.append(3))
        assert recorded == [0, 1, 2]
        await asyncio.sleep(0.2)

    asyncio.run(answer())
    assert recorded == [0, 1, 2, 3]


def test_a_record_that_fails_is_reported_and_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RECORDED_EVERY_S", 0.01)
    recorded: list[str] = []
    reported: list[str] = []

    def fail() -> None:
        raise ValueError("no such tag")

    async def answer() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        afterwards = Afterwards()
        for record in (lambda: recorded.append("before"), fail, lambda: recorded.append("behind")):
            afterwards(record)
        await asyncio.sleep(0.2)

    asyncio.run(answer())
    assert recorded == ["before", "behind"]
    assert reported == ["no such tag"]


def test_what_is_counted_while_others_are_recorded_is_in_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RECORDED_EVERY_S", 0.01)
    recorded: list[str] = []

    async def answer() -> None:
        afterwards = Afterwards()
        afterwards(lambda: afterwards(lambda: recorded.append("second")))
        afterwards(lambda: recorded.append("first"))
        await asyncio.sleep(0.2)

    asyncio.run(answer())
    assert recorded == ["first", "second"]
