"""Asking every shard at once: a deadline for each, one retry after a death, and an honest count of who answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError

logger = logging.getLogger("ray.serve")

# A replica that dies fails the calls it was working on; Serve does not repeat them.
DEATHS = (RayActorError, ReplicaUnavailableError, DeploymentUnavailableError)


class Outcome(Enum):
    """How one shard deployment fared with one request."""

    OK = "ok"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


@dataclass(frozen=True)
class Reply:
    """What came of one call; `value` is None unless the outcome is OK."""

    outcome: Outcome
    value: Any = None


async def ask_all(
    methods: Sequence[Any], arguments: tuple, deadline_s: float, on_retry: Callable[[], None]
) -> list[Reply]:
    """Calls a method of all deployments together, with the same deadline for each; never raises for one that fails.

    Args:
        methods: of Serve handles, one of each deployment; every call goes to a replica that lives.
        arguments: what they are called with.
        deadline_s: seconds until an unanswered call is cancelled and counted as timed out.
        on_retry: called for every call repeated after a replica died.

    Returns:
        One reply per method, in the order of `methods`.
    """
    tasks = [asyncio.ensure_future(_call(method, arguments, on_retry)) for method in methods]
    try:
        await asyncio.wait(tasks, timeout=deadline_s)
    finally:  # also when whoever asked went away; does nothing to those that are done
        for task in tasks:
            task.cancel()
    replies = []
    for number, task in enumerate(tasks):
        if not task.done():
            replies.append(Reply(Outcome.TIMED_OUT))
        elif task.cancelled():
            replies.append(Reply(Outcome.FAILED))
        elif (error := task.exception()) is not None:
            logger.error("shard deployment %d failed: %r", number, error)
            replies.append(Reply(Outcome.FAILED))
        else:
            replies.append(Reply(Outcome.OK, task.result()))
    return replies


async def _call(remote_method: Any, arguments: tuple, on_retry: Callable[[], None]) -> Any:
    try:
        return await remote_method.remote(*arguments)
    except DEATHS:
        on_retry()
        return await remote_method.remote(*arguments)
