"""Load on an HTTP service: closed-loop clients and an open-loop stream, each request timed and judged by its answer.

The client speaks HTTP/1.1 over asyncio streams itself: a full client library costs more per request than the service.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP_REQUESTS = 20
LARGEST_CONNECTIONS = 400


@dataclass(frozen=True)
class Answer:
    """One answered request: when it ended, how long it took, and what came (status 0: no answer at all)."""

    ended: float
    seconds: float
    status: int
    body: bytes

    @property
    def partial(self) -> bool:
        """Whether the answer says that shards are missing."""
        if self.status != 200:
            return False
        counts = json.loads(self.body)["shards"]
        return counts["ok"] < counts["total"]


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str) -> Answer:
        """GET; a connection that breaks counts as an answer with status 0."""
        started = time.perf_counter()
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            assert self._reader is not None
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            body = await self._reader.readexactly(length)
            status = int(head.split(" ", 2)[1])
        except (OSError, asyncio.IncompleteReadError):
            self._writer, status, body = None, 0, b""
        ended = time.perf_counter()
        return Answer(ended, ended - started, status, body)


async def closed_loop(port: int, paths: Sequence[str], clients: int, seconds: float) -> list[Answer]:
    """Clients that each ask again as soon as they are answered, for so many seconds after a short warm-up."""
    answers: list[Answer] = []
    connections = [Connection(port) for _ in range(clients)]
    for number in range(WARM_UP_REQUESTS):
        await connections[number % clients].ask(paths[-1 - number % len(paths)])
    end = time.perf_counter() + seconds

    async def client(number: int, connection: Connection) -> None:
        turn = number
        while time.perf_counter() < end:
            answers.append(await connection.ask(paths[turn % len(paths)]))
            turn += clients

    await asyncio.gather(*(client(number, connection) for number, connection in enumerate(connections)))
    return answers


async def open_loop(port: int, paths: Sequence[str], per_second: float, seconds: float) -> list[Answer]:
    """Requests that arrive at a given rate whether or not earlier ones were answered."""
    answers: list[Answer] = []
    idle = [Connection(port) for _ in range(LARGEST_CONNECTIONS)]

    async def one(path: str) -> None:
        connection = idle.pop() if idle else Connection(port)
        answers.append(await connection.ask(path))
        idle.append(connection)

    started, tasks = time.perf_counter(), []
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(one(paths[number % len(paths)])))
    await asyncio.gather(*tasks)
    return answers


async def beside(load: asyncio.Task[list[Answer]], action: Callable[[], object]) -> list[Answer]:
    """Runs a blocking action in a thread while the load goes on; the load's answers."""
    await asyncio.to_thread(action)
    return await load


def latency(answers: Sequence[Answer], seconds: float) -> dict[str, float]:
    """p50 and p99 in milliseconds and answers a second."""
    taken = np.array([answer.seconds for answer in answers]) * 1000
    return {
        "p50_ms": round(float(np.percentile(taken, 50)), 3),
        "p99_ms": round(float(np.percentile(taken, 99)), 3),
        "qps": round(len(answers) / seconds, 1),
    }
