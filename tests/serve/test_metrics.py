"""What happens in the service is counted and timed where an operator looks: in what Ray exports to Prometheus."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from select import select
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from serve.settings import ServeSettings

if TYPE_CHECKING:
    from conftest import ServedCorpus

EXPORT_SECONDS = 60  # a process reports every second here
QUIET_SECONDS = 5  # in which all processes report what happened before
SAMPLE = re.compile(r"^ray_lexlip_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
OUR_LABELS = ("request", "stage", "route", "status", "outcome", "encoder", "shard")
CAPACITY = ServeSettings().capacity


class Exported:
    """What has been added to the exported counters and histograms since this was made."""

    def __init__(self) -> None:
        self._before = self._read()
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + QUIET_SECONDS:
            time.sleep(1)
            now = self._read()
            if now != self._before:
                self._before, quiet_since = now, time.monotonic()

    def rises(self) -> Counter[str]:
        """By `name label=value ...`, over all processes. Series of processes that died meanwhile take nothing away."""
        rises: Counter[str] = Counter()
        for (name, labels), value in self._read().items():
            given = dict(LABEL.findall(labels))
            sample = " ".join([name, *(f"{label}={given[label]}" for label in OUR_LABELS if label in given)])
            rises[sample] += round(value - self._before.get((name, labels), 0))
        return rises

    @staticmethod
    def _read() -> dict[tuple[str, str], float]:
        import ray

        # Other tests' services in threads of this process export through it too.
        own = f'WorkerId="{ray.get_runtime_context().get_worker_id()}"'
        node = ray.nodes()[0]
        text = httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=30).text
        return {
            (name, labels): float(value)
            for name, labels, value in SAMPLE.findall(text)
            if name.endswith(("_total", "_count")) and own not in labels
        }


@contextmanager
def at_capacity(url: str) -> Iterator[None]:
    """As many requests as are let in wait for the rest of their bodies while the block runs; one more was refused."""
    address = httpx.URL(url)
    with ExitStack() as opened:
        waiting = []
        for _ in range(CAPACITY + 1):
            connection = opened.enter_context(closing(HTTPConnection(address.host, address.port, timeout=60)))
            connection.putrequest("POST", "/search")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", "2")
            connection.endheaders(b"{")
            waiting.append(connection)
        answered, _, _ = select([connection.sock for connection in waiting], [], [], 60)
        refused = [connection for connection in waiting if connection.sock in answered]
        assert [connection.getresponse().status for connection in refused] == [503]
        yield
        for connection in waiting:
            if connection not in refused:
                connection.send(b"}")
                assert connection.getresponse().status == 422


@pytest.fixture(scope="module")
def exported(cluster_url: str, served_corpus: ServedCorpus) -> Exported:
    """What Ray exports after one request of each kind."""
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    text = "a text that nobody asked for before"
    identifier = quote(served_corpus.odd_id, safe="")
    started = Exported()

    with httpx.Client(base_url=cluster_url, timeout=60) as client:
        answers = [
            client.post("/search", json={"text": text, "explain": True}),
            client.post("/search", json={"terms": {"no such word Ω": 1}}),
            client.post("/search", json={"text": text, "filters": {"number": "five"}}),
            client.post("/encode", json={"text": text}),
            client.post("/encode", files={"image": ("red.png", picture.getvalue())}),
            client.post("/encode", files={"image": ("cut.png", picture.getvalue()[:40])}),
            client.get(f"/images/{identifier}/heat", params={"term": "red"}),
            client.get(f"/images/{identifier}/words"),
            client.get("/images/nobody/words"),
        ]
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200, 200, 422, 200, 200, 404]
    return started


def wait_for(exported: Exported, expected: dict[str, int]) -> None:
    """Looks again and again whether these samples, and no others of the same names, have risen by so much."""
    names = {sample.split()[0] for sample in expected}
    end = time.monotonic() + EXPORT_SECONDS
    while True:
        rises = {sample: rise for sample, rise in exported.rises().items() if sample.split()[0] in names and rise}
        if rises == expected or time.monotonic() > end:
            break
        time.sleep(1)
    assert rises == expected


def stages(**of: dict[str, int]) -> dict[str, int]:
    """Samples of the stages of each kind of request."""
    return {
        f"stage_ms_count request={request} stage={stage}": count
        for request, counts in of.items()
        for stage, count in counts.items()
    }


def test_every_stage_of_every_kind_of_request_is_timed_also_of_those_that_fail(exported: Exported) -> None:
    wait_for(
        exported,
        stages(
            # The second fails at its words, the third, whose text is remembered, when the shards see its filter.
            search={
                "encode": 2,
                "forward": 1,
                "search": 1,
                "engine": 1,
                "merge": 1,
                "stored": 1,
                "explain": 1,
                "failed": 2,
                "total": 3,
            },
            # The text is remembered, one picture is broken.
            encode={"encode": 2, "forward": 1, "failed": 1, "total": 3},
            heat={"stored": 1, "heat": 1, "total": 1},
            words={"stored": 1, "failed": 1, "total": 2},
        ),
    )


def test_encoders_time_decoding_and_forward_passes_and_count_what_they_refuse(exported: Exported) -> None:
    wait_for(
        exported,
        {
            # Two uploads and the picture of the heat map.
            "encoder_decode_ms_count encoder=image": 3,
            "encoder_forward_ms_count encoder=image": 1,
            "encoder_forward_ms_count encoder=text": 1,
            "encoder_batch_count encoder=image": 1,
            "encoder_batch_count encoder=text": 1,
            "encoder_refused_total encoder=image": 1,
        },
    )


def test_every_shard_deployment_times_its_searches_and_the_gateway_counts_their_outcomes(
    exported: Exported, served_corpus: ServedCorpus
) -> None:
    wait_for(
        exported,
        {
            "shard_search_ms_count shard=0": 1,
            "shard_search_ms_count shard=1": 1,
            "shard_answers_total outcome=ok": served_corpus.shards,
        },
    )


def test_requests_are_counted_by_route_and_status(exported: Exported) -> None:
    wait_for(
        exported,
        {
            "requests_total route=/search status=200": 1,
            "requests_total route=/search status=422": 2,
            "requests_total route=/encode status=200": 2,
            "requests_total route=/encode status=422": 1,
            "requests_total route=/images status=200": 2,
            "requests_total route=/images status=404": 1,
        },
    )


def test_refusals_at_capacity_and_swaps_of_generations_are_counted(
    cluster_url: str, served_corpus: ServedCorpus
) -> None:
    started = Exported()
    published = served_corpus.publish().generation
    with httpx.Client(base_url=cluster_url, timeout=60) as client:
        while client.get("/stats").json()["generation"] != published:
            time.sleep(0.1)
        with at_capacity(cluster_url):
            refused = [client.get("/search", params={"q": "dog"}).status_code for _ in range(3)]

    assert refused == [503] * 3
    wait_for(started, {"refused_total": 4, "generation_swaps_total": 1})
