"""What the service counts and times, exported by Ray to Prometheus as `ray_lexlip_*`."""

from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Histogram

from serve.clock import StageClock

# From a tenth of a millisecond (one engine call) to the longest deadline anyone sets.
MILLISECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]


class GatewayMetrics:
    """Counters and histograms of the gateway."""

    def __init__(self) -> None:
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
            for stage, milliseconds in clock.milliseconds().items():
                self.stages.observe(max(milliseconds, 1e-3), tags={"request": request, "stage": stage})


class EncoderMetrics:
    """Histograms of one encoder replica."""

    def __init__(self, encoder: str) -> None:
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


class ShardMetrics:
    """Histograms of one shard replica."""

    def __init__(self, group: int) -> None:
        self.search = Histogram(
            "lexlip_shard_search_ms", "Milliseconds inside the engine.", boundaries=MILLISECONDS, tag_keys=("shard",)
        )
        self.search.set_default_tags({"shard": str(group)})
