"""In front of every request: the API key, the size of the body, and a refusal at once when at capacity."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serve.metrics import GatewayMetrics
from serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The page itself, its parts, the API description and the probes hold nothing of the corpus.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/favicon.ico"})
ROUTES = ("/search", "/encode", "/images", "/stats", "/healthz", "/readyz")
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class Guard:
    """ASGI middleware; refuses before anything else is looked at, so that a refusal costs next to nothing."""

    def __init__(self, app: App, settings: ServeSettings, key_digest: bytes | None, metrics: GatewayMetrics) -> None:
        self.app = app
        self.settings = settings
        self.key_digest = key_digest
        self.metrics = metrics
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers 401, 413 or 503 itself."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        headers = dict(scope["headers"])
        watched = self._watched(path, send)
        if self.key_digest and not _is_open(path) and not self._has_key(headers):
            await refuse(
                watched,
                401,
                "this service needs its API key, as header X-API-Key.",
                (b"www-authenticate", b"X-API-Key"),
            )
        elif _declared_length(headers) > self.settings.max_upload_bytes:
            await refuse(
                watched, 413, f"larger than {self.settings.max_upload_bytes} bytes.", (b"connection", b"close")
            )
        elif not _is_work(path):
            await self.app(scope, receive, watched)
        elif self.in_flight >= self.settings.capacity:
            self.metrics.refused.inc()
            wait = str(self.settings.retry_after_s).encode()
            await refuse(
                watched, 503, f"at capacity ({self.settings.capacity} requests at a time).", (b"retry-after", wait)
            )
        else:
            self.in_flight += 1
            try:
                await self.app(scope, receive, watched)
            finally:
                self.in_flight -= 1

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(hashlib.sha256(given).digest(), self.key_digest or b"")

    def _watched(self, path: str, send: Send) -> Send:
        route = next((route for route in ROUTES if path.startswith(route)), "page")

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answered(route, message["status"])
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        return send_watched


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/page/")


def _is_work(path: str) -> bool:
    """Whether a request goes to encoders or shards; thumbnails and probes are answered at any load."""
    return path in ("/search", "/encode") or path.endswith(("/heat", "/words"))


def _declared_length(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


async def refuse(send: Send, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
    """Sends one small JSON answer `{"detail": ...}`."""
    body = json.dumps({"detail": detail}).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
