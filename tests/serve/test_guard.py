"""What is refused before anything is read: no key, too large, or at capacity."""

from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest
from fastapi import FastAPI

from serve.guard import Guard
from serve.metrics import GatewayMetrics
from serve.settings import API_KEY_VARIABLE, ServeSettings, key_digest

SETTINGS = ServeSettings(capacity=2, retry_after_s=3, max_upload_bytes=1000)


class SlowService:
    """A guarded application whose searches last until they are let go."""

    def __init__(self, digest: bytes | None = None) -> None:
        self.go_on = asyncio.Event()
        api = FastAPI()

        @api.get("/search")
        async def search() -> str:
            await self.go_on.wait()
            return "found"

        @api.get("/{anything:path}")
        async def other() -> str:
            return "open"

        guarded = Guard(api, SETTINGS, digest, GatewayMetrics())
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://test")


def test_beyond_capacity_a_request_is_refused_at_once_and_told_when_to_come_back() -> None:
    async def scenario() -> None:
        service = SlowService()
        accepted = [asyncio.create_task(service.client.get("/search")) for _ in range(SETTINGS.capacity)]
        await asyncio.sleep(0.05)

        refused = await asyncio.wait_for(service.client.get("/search"), 5)
        probe = await service.client.get("/healthz")
        service.go_on.set()

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert probe.status_code == 200
        assert [answer.status_code for answer in await asyncio.gather(*accepted)] == [200, 200]
        assert (await service.client.get("/search")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"X-API-Key": "secret"}, 200),
        ({"Authorization": "Bearer secret"}, 200),
    ],
)
def test_with_a_key_set_the_corpus_is_closed_without_it(headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        service = SlowService(hashlib.sha256(b"secret").digest())
        service.go_on.set()

        assert (await service.client.get("/search", headers=headers)).status_code == status
        assert (await service.client.get("/images/one", headers=headers)).status_code == status
        assert (await service.client.get("/", headers=headers)).status_code == 200
        assert (await service.client.get("/healthz", headers=headers)).status_code == 200

    asyncio.run(scenario())


def test_a_declared_body_beyond_the_limit_is_refused_unread() -> None:
    async def scenario() -> None:
        service = SlowService()

        async def never_read() -> None:
            raise AssertionError("the body was read")
            yield b""

        answer = await service.client.request(
            "POST", "/encode", content=never_read(), headers={"Content-Length": "1001"}
        )

        assert answer.status_code == 413

    asyncio.run(scenario())


def test_only_the_digest_of_the_key_in_the_environment_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    assert key_digest() == hashlib.sha256(b"secret").digest()

    monkeypatch.setenv(API_KEY_VARIABLE, "")
    assert key_digest() is None
