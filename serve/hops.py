"""Calls between replicas, kept cheap: a search makes one to the encoder and one to every shard.

By default Serve runs a replica's own code and its handles on event loops in threads of their own, so that code that
blocks cannot keep a replica from being heard. Ours does not block for long: what usually takes more than a call runs in
threads (`short_work`). With one loop for everything a call changes threads four times less.
"""

from __future__ import annotations

from typing import Any

# Of every replica's process; Serve reads it when it starts.
REPLICA_ENVIRONMENT = {
    "env_vars": {
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        # The garbage collector need not look through all that a replica loaded again and again.
        "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",
    }
}


def cheap(handle: Any) -> Any:
    """The same handle for small arguments and answers of plain classes.

    By value, because a few kilobytes need no trip through the object store, and in Python's own pickle, because nothing
    that is sent is defined in a script.
    """
    return handle.options(_by_reference=False, request_serialization="pickle", response_serialization="pickle")
