"""Probes: however many come, shards and encoders are asked once a second."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serve import operating
from serve.encoding import UnavailableError
from serve.fanout import Outcome
from serve.operating import Watch


class Counted:
    """A method of a Serve handle, or an encoder's check, that counts how often it is called."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.calls = 0
        self.problem = problem

    async def remote(self) -> dict[str, int]:
        await self()
        return {"shards": 1}

    async def __call__(self) -> None:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.problem is not None:
            raise self.problem


def service_of(shard: Counted, check: Counted) -> Any:
    return SimpleNamespace(
        settings=SimpleNamespace(deadline_ms=1000.0),
        descriptions=[shard, shard],
        metrics=SimpleNamespace(retries=SimpleNamespace(inc=lambda: None)),
        encoding=SimpleNamespace(check=check),
    )


def test_many_probes_make_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        shard, check = Counted(), Counted()
        watch = Watch(service_of(shard, check))
        looks = await asyncio.gather(*(watch.look() for _ in range(50)))
        assert [reply.outcome for reply in looks[0].shards] == [Outcome.OK, Outcome.OK]
        assert all(look is looks[0] for look in looks)
        assert await watch.look() is looks[0]
        assert (shard.calls, check.calls) == (2, 1)

        monkeypatch.setattr(operating, "LOOK_SECONDS", 0.0)
        assert await watch.look() is not looks[0]
        assert (shard.calls, check.calls) == (4, 2)

    asyncio.run(scenario())


def test_a_probe_that_is_given_up_does_not_take_the_look_from_the_others() -> None:
    async def scenario() -> None:
        watch = Watch(service_of(Counted(), Counted(UnavailableError("no encoder"))))
        given_up, patient = (asyncio.create_task(watch.look()) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (await patient).problem == "no encoder"

    asyncio.run(scenario())
