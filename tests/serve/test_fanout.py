"""Every shard is asked once, again after a death, and not beyond the deadline; who did not answer is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError

from lexlip.model.query_lookup import QueryLookup
from serve.corpus import Corpus
from serve.encoders import ModelFacts
from serve.encoding import Encoding, LookedUpTexts
from serve.fanout import DEATHS, Outcome, Reply, ask_all
from serve.generations import GenerationKeeper
from serve.merging import Ranking
from serve.metrics import GatewayMetrics
from serve.schemas import SearchOptions, ShardCounts
from serve.service import IncompleteError, SearchService
from serve.settings import ServeSettings
from serve.shards import ShardAnswer

if TYPE_CHECKING:
    from conftest import ServedCorpus

# Whoever answers does so at once, before the loop looks at any time: a short deadline cannot make such a test fail.
SHORT_S = 0.02
NEVER = object()
DIED = {
    RayActorError: RayActorError(),
    ReplicaUnavailableError: ReplicaUnavailableError("replica"),
    DeploymentUnavailableError: DeploymentUnavailableError(DeploymentID("shard")),
}


class Method:
    """A handle's method. Each call takes the next of `outcomes`: an error is raised, `NEVER` waits, others come back.

    Attributes:
        calls: the arguments of every call.
        cancelled: whether a call that waits was cancelled.
    """

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple] = []
        self.cancelled = False

    async def remote(self, *arguments: object) -> Any:
        self.calls.append(arguments)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is NEVER:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return outcome


def ask(methods: Sequence[Method], *arguments: object) -> tuple[list[Reply], int]:
    """The replies of all methods, and how many calls were repeated."""
    retries: list[None] = []

    async def asked() -> list[Reply]:
        replies = await ask_all(methods, arguments, SHORT_S, lambda: retries.append(None))
        await asyncio.sleep(0)  # whoever was cancelled hears of it
        return replies

    return asyncio.run(asked()), len(retries)


def test_everyone_is_asked_the_same_once_and_replies_are_in_the_order_of_the_methods() -> None:
    methods = [Method(name) for name in "abc"]

    replies, retries = ask(methods, "query", 5)

    assert replies == [Reply(Outcome.OK, name) for name in "abc"]
    assert [method.calls for method in methods] == [[("query", 5)]] * 3
    assert retries == 0


def test_one_that_is_too_slow_is_cancelled_and_holds_up_no_other() -> None:
    slow = Method(NEVER)

    replies, _ = ask([Method("a"), slow, Method("c")])

    assert replies == [Reply(Outcome.OK, "a"), Reply(Outcome.TIMED_OUT), Reply(Outcome.OK, "c")]
    assert slow.cancelled


def test_every_way_to_die_is_tried_here() -> None:
    assert set(DIED) == set(DEATHS)


@pytest.mark.parametrize("death", DEATHS)
def test_after_a_death_another_replica_is_asked_the_same(death: type[Exception]) -> None:
    died = Method(DIED[death], "second")

    replies, retries = ask([died, Method("b")], "query")

    assert replies == [Reply(Outcome.OK, "second"), Reply(Outcome.OK, "b")]
    assert died.calls == [("query",)] * 2
    assert retries == 1


def test_a_second_death_is_a_failure() -> None:
    died = Method(RayActorError(), ReplicaUnavailableError("replica"), "never asked for")

    replies, retries = ask([died, Method("b")])

    assert replies == [Reply(Outcome.FAILED), Reply(Outcome.OK, "b")]
    assert (len(died.calls), retries) == (2, 1)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), asyncio.CancelledError()])
def test_an_error_that_is_no_death_is_not_repeated(error: BaseException) -> None:
    failing = Method(error, "never asked for")

    replies, retries = ask([Method("a"), failing])

    assert replies == [Reply(Outcome.OK, "a"), Reply(Outcome.FAILED)]
    assert (len(failing.calls), retries) == (1, 0)


def test_the_second_try_has_no_deadline_of_its_own() -> None:
    died = Method(RayActorError(), NEVER)

    replies, retries = ask([died])

    assert replies == [Reply(Outcome.TIMED_OUT)]
    assert died.cancelled
    assert retries == 1


def test_calls_end_with_whoever_asked() -> None:
    slow = Method(NEVER)

    async def gone() -> None:
        asking = asyncio.create_task(ask_all([slow], (), 60, lambda: None))
        while not slow.calls:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)

        assert slow.cancelled

    asyncio.run(gone())


class Deployment:
    """A handle of a shard deployment that searches as it is told to."""

    def __init__(self, *outcomes: object) -> None:
        self.search, self.describe = Method(*outcomes), Method()


class NoImages:
    """A handle of an image encoder that is never called."""

    encode = heat = describe = Method()


def service_over(corpus: ServedCorpus, *deployments: Deployment) -> SearchService:
    """The service over the real index, its shards being held by these deployments."""
    model = corpus.model
    facts = ModelFacts(model.fingerprint, model.vocabulary.fingerprint)
    lookup = QueryLookup(model.vocabulary, np.ones(len(model.vocabulary), np.float32))
    settings = ServeSettings(str(corpus.folder), str(corpus.model_folder), deadline_ms=SHORT_S * 1000).located()
    return SearchService(
        settings,
        model.vocabulary,
        GenerationKeeper(corpus.folder, lambda: Corpus.open(corpus.folder, facts), kept=2),
        Encoding(LookedUpTexts(lookup, terms=16), NoImages, deadline_s=1),
        deployments,
        GatewayMetrics(),
    )


def found(*positions: int) -> ShardAnswer:
    return ShardAnswer(Ranking(np.array(positions, np.int64), np.ones(len(positions), np.float32)))


@pytest.mark.parametrize(
    ("first", "second", "third", "counts"),
    [
        (found(0), found(20), found(30), {"ok": 4, "timed_out": 0, "failed": 0}),
        (NEVER, found(20), found(30), {"ok": 2, "timed_out": 2, "failed": 0}),
        (RuntimeError("broken"), found(20), NEVER, {"ok": 1, "timed_out": 1, "failed": 2}),
        (NEVER, RuntimeError("broken"), found(30), {"ok": 1, "timed_out": 2, "failed": 1}),
        (NEVER, NEVER, RuntimeError("broken"), {"ok": 0, "timed_out": 3, "failed": 1}),
        # A replica that cannot get the generation of the others answers, but not the question.
        (ShardAnswer(), found(20), found(30), {"ok": 2, "timed_out": 0, "failed": 2}),
    ],
)
def test_a_deployment_that_does_not_answer_counts_with_all_the_shards_it_holds(
    served_corpus: ServedCorpus, first: object, second: object, third: object, counts: dict[str, int]
) -> None:
    # Of four shards the first deployment holds two.
    service = service_over(served_corpus, Deployment(first), Deployment(second), Deployment(third))

    answer = asyncio.run(service.search_terms({"red": 1.0}, SearchOptions()))

    assert answer.shards == ShardCounts(total=served_corpus.shards, **counts)
    index = served_corpus.open()
    positions = [outcome.ranking.positions[0] for outcome in (first, second, third) if has_ranking(outcome)]
    assert [hit.id for hit in answer.hits] == [row["id"] for row in index.stored(positions)]


def has_ranking(outcome: object) -> bool:
    return isinstance(outcome, ShardAnswer) and outcome.ranking is not None


def test_a_complete_answer_that_is_required_names_what_is_missing(served_corpus: ServedCorpus) -> None:
    service = service_over(served_corpus, Deployment(NEVER), Deployment(RuntimeError("broken")), Deployment(found(30)))

    with pytest.raises(IncompleteError, match=r"3 of 4 shards did not answer \(2 timed out, 1 failed\)"):
        asyncio.run(service.search_terms({"red": 1.0}, SearchOptions(require_complete=True)))
