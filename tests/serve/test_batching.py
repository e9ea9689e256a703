"""Batches gather while one runs, and one bad item fails only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from lexlip.errors import ModelError, QueryError
from lexlip.tables import LexiconVector
from serve.batching import Batcher
from serve.clock import StageClock
from serve.encoders import Encoded, encode_each
from serve.encoding import EncodedTexts, UnavailableError


def test_items_that_arrive_while_a_batch_runs_make_the_next_one() -> None:
    batches: list[list[int]] = []

    async def double(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await asyncio.sleep(0.01)
        return [2 * item for item in items]

    async def scenario() -> list[int]:
        batched = Batcher(double, largest=4)
        first = asyncio.create_task(batched(1))
        await asyncio.sleep(0.001)
        return await asyncio.gather(first, *(batched(item) for item in range(2, 9)))

    assert asyncio.run(scenario()) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert batches == [[1], [2, 3, 4, 5], [6, 7, 8]]


def test_who_went_away_costs_no_work_and_an_error_reaches_everyone_in_its_batch() -> None:
    seen: list[str] = []

    async def fail_on_bad(items: Sequence[str]) -> list[str]:
        seen.extend(items)
        await asyncio.sleep(0.01)
        if "bad" in items:
            raise ValueError("bad item")
        return list(items)

    async def scenario() -> None:
        batched = Batcher(fail_on_bad, largest=2)
        first = asyncio.create_task(batched("first"))
        await asyncio.sleep(0.001)
        gone, bad, beside, after = [asyncio.create_task(batched(name)) for name in ("gone", "bad", "beside", "after")]
        await asyncio.sleep(0.001)
        gone.cancel()
        outcomes = await asyncio.gather(first, bad, beside, after, return_exceptions=True)
        assert outcomes[0] == "first"
        assert all(isinstance(outcome, ValueError) for outcome in outcomes[1:3])
        assert outcomes[3] == "after"

    asyncio.run(scenario())
    assert "gone" not in seen


def test_a_failing_batch_is_taken_apart_so_that_only_the_item_at_fault_has_a_problem() -> None:
    def forward(items: Sequence[float]) -> list[LexiconVector]:
        if -1.0 in items:
            raise ValueError("cannot")
        return [LexiconVector(np.array([1], np.int32), np.array([item], np.float32)) for item in items]

    outcomes = encode_each(forward, [0.5, -1.0, 0.25])

    assert [outcome.problem is None for outcome in outcomes] == [True, False, True]
    assert outcomes[2].vector is not None
    assert outcomes[2].vector.weights.tolist() == [0.25]


@pytest.mark.parametrize(("error", "failed"), [(ModelError("weights"), False), (RuntimeError("out of memory"), True)])
def test_a_fault_of_the_process_is_told_from_one_of_the_item(error: Exception, failed: bool) -> None:
    def forward(items: Sequence[str]) -> list[LexiconVector]:
        raise error

    (outcome,) = encode_each(forward, ["text"])

    assert outcome.vector is None
    assert str(error) in str(outcome.problem)
    assert outcome.failed == failed


def test_what_the_encoder_cannot_do_now_is_not_called_a_bad_query() -> None:
    class Handle:
        """A Serve handle whose methods answer with one outcome."""

        def __init__(self, outcome: Encoded) -> None:
            self.outcome = outcome
            self.encode = self.describe = self.heat = self

        async def remote(self, _: object) -> Encoded:
            return self.outcome

    def ask(outcome: Encoded) -> None:
        handle = Handle(outcome)
        asyncio.run(EncodedTexts(handle, deadline_s=1.0, remembered=1).vector("dog", StageClock()))

    with pytest.raises(UnavailableError, match="out of memory"):
        ask(Encoded(problem="out of memory", failed=True))
    with pytest.raises(QueryError, match="no weight"):
        ask(Encoded(problem="no weight"))
