"""What the service counts and times, exported by Ray to Prometheus as `ray_lexlip_*`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ray.util.metrics import Counter, Histogram

from serve.clock import StageClock

# From a tenth of a millisecond (one engine call) to the longest deadline anyone sets.
MILLISECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
RECORDED_EVERY_S = 0.25  # soon enough for exports, which happen every ten seconds


class Afterwards:
    """Records when the answers have gone, several at a time: a quarter of a second's in one go.

    A record takes microseconds where the caches are warm. After a forward pass they are not, and a dozen records take
    half a millisecond of an answer.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def __call__(self, record: Callable[[], None]) -> None:
        """Calls `record` soon, on the running event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(RECORDED_EVERY_S, self._record)
        self._waiting.append(record)

    def _record(self) -> None:
        records, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for record in records:  # one that fails is the loop's to report, and takes no other with it
            loop.call_soon(record)


class GatewayMetrics:
    """Counters and histograms of the gateway; those of every request are recorded afterwards."""

    def __init__(self) -> None:
        self._afterwards = Afterwards()
        self.stages = Histogram(
            "lexlip_stage_ms",
            "Milliseconds of each stage of a request: search, encode, words or heat.",
            boundaries=MILLISECONDS,
            tag_keys=("request", "stage"),
        )
        self.requests = Counter("lexlip_requests", "Requests by route and HTTP status.", tag_keys=("route", "status"))
        self.refused = Counter("lexlip_refused", "Requests refused because the service was at capacity.")
        self.shards = Counter("lexlip_shard_answers", "Shard answers by outcome.", tag_keys=("outcome",))
        self.retries = Counter("lexlip_shard_retries", "Shard calls repeated on another replica after a death.")
        self.swaps = Counter("lexlip_generation_swaps", "Index generations taken into service.")

    @contextmanager
    def timed(self, request: str) -> Iterator[StageClock]:
        """The clock of one request. Its stages are observed at the end; `failed` is the one that was not completed."""
        clock = StageClock()
        try:
            yield clock
        except BaseException:  # also when the client went away
            clock.lap("failed")
            raise
        finally:
            self._afterwards(partial(self._observe, request, clock.milliseconds()))

    def answered(self, route: str, status: int) -> None:
        """Counts a request by its route and status."""
        self._afterwards(partial(self.requests.inc, tags={"route": route, "status": str(status)}))

    def asked(self, outcome: str, shards: int) -> None:
        """Counts the answers of shards by what came of them."""
        self._afterwards(partial(self.shards.inc, shards, tags={"outcome": outcome}))

    def _observe(self, request: str, stages: dict[str, float]) -> None:
        for stage, milliseconds in stages.items():
            self.stages.observe(max(milliseconds, 1e-3), tags={"request": request, "stage": stage})


class EncoderMetrics:
    """Histograms of one encoder replica; those of forward passes are recorded afterwards."""

    def __init__(self, encoder: str) -> None:
        self._afterwards = Afterwards()
        tags = {"encoder": encoder}
        self.batch = Histogram(
            "lexlip_encoder_batch",
            "Items per forward pass.",
            boundaries=[1, 2, 4, 8, 16, 32, 64],
            tag_keys=("encoder",),
        )
        self.forward = Histogram(
            "lexlip_encoder_forward_ms", "Milliseconds per batch.", boundaries=MILLISECONDS, tag_keys=("encoder",)
        )
        self.decode = Histogram(
            "lexlip_encoder_decode_ms",
            "Milliseconds to decode a picture, or to find that it cannot be.",
            boundaries=MILLISECONDS,
            tag_keys=("encoder",),
        )
        self.refused = Counter("lexlip_encoder_refused", "Items refused before their batch.", tag_keys=("encoder",))
        for metric in (self.batch, self.forward, self.decode, self.refused):
            metric.set_default_tags(tags)

    def passed(self, items: int, forward_ms: float) -> None:
        """Counts a forward pass."""
        self._afterwards(partial(self.batch.observe, items))
        self._afterwards(partial(self.forward.observe, forward_ms))


class ShardMetrics:
    """Histograms of one shard replica, recorded afterwards."""

    def __init__(self, group: int) -> None:
        self._afterwards = Afterwards()
        self.search = Histogram(
            "lexlip_shard_search_ms", "Milliseconds inside the engine.", boundaries=MILLISECONDS, tag_keys=("shard",)
        )
        self.search.set_default_tags({"shard": str(group)})

    def searched(self, engine_ms: float) -> None:
        """Counts a search."""
        self._afterwards(partial(self.search.observe, engine_ms))
