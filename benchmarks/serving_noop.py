"""The same hops with nothing in them: what Serve and uvicorn cost before any search is done."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from ray import serve

from serve.hops import REPLICA_ENVIRONMENT, cheap

EMPTY = b"x" * 2000  # about what a shard answers


class Leaf:
    """A replica that answers at once, in place of an encoder or a shard."""

    async def answer(self, _: bytes) -> bytes:
        """Two kilobytes."""
        return EMPTY


@serve.ingress()
class NoopGateway:
    """`/noop` answers by itself; `/graph` makes the hops of a search: one, then one to every shard at a time."""

    def __init__(self, encoder: Any, *shards: Any) -> None:
        self._encoder = cheap(encoder).answer
        self._shards = [cheap(shard).answer for shard in shards]

    def __serve_build_asgi_app__(self) -> FastAPI:
        return noop_api(self)

    async def hops(self) -> None:
        """The hops of one search."""
        await self._encoder.remote(EMPTY)
        calls = [shard.remote(EMPTY) for shard in self._shards]
        await asyncio.gather(*(_finish(call) for call in calls))


async def _finish(call: Any) -> bytes:
    return await call


def noop_api(gateway: NoopGateway | None = None) -> FastAPI:
    """The routes; without a gateway, for plain uvicorn, only `/noop`."""
    api = FastAPI()

    @api.get("/noop")
    async def noop() -> dict[str, str]:
        return {"status": "ok"}

    if gateway is not None:

        @api.get("/graph")
        async def graph() -> dict[str, str]:
            await gateway.hops()
            return {"status": "ok"}

    return api


def noop_application(shards: int, replicas: int) -> serve.Application:
    """The graph of the service: one gateway, one leaf for the encoder, and for every shard one with `replicas`."""
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": 0.05, "runtime_env": REPLICA_ENVIRONMENT},
        "max_ongoing_requests": 1024,
        "logging_config": {"enable_access_log": False},
    }
    leaves = [
        serve.deployment(name=f"leaf-{number}", num_replicas=replicas if number else 1, **options)(Leaf).bind()
        for number in range(shards + 1)
    ]
    return serve.deployment(**options)(NoopGateway).bind(*leaves)


if __name__ == "__main__":
    import sys

    import uvicorn

    uvicorn.run(noop_api(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
