"""Encoders and shards give way to proxy and gateway.

When every core is busy, a refusal that takes microseconds would otherwise wait behind all the requests that were let
in. What computes at a lower priority still gets every core that nobody else wants.
"""

from __future__ import annotations

import os
from typing import Any

# A share of about a fifteenth beside a process that does not give way (see nice(2)). Measured on two cores at three
# times capacity, four deployments of shards: with 5, 80 to 90 of 100 refusals take less than 50 ms, with 8 some 92 to
# 96, with 12 95 to 100. How much longer accepted requests take varies more from run to run than with this.
COMPUTE_NICENESS = 12


def giving_way(replica: type) -> type:
    """The same replica class, which lowers its priority before it does anything else.

    Linux lowers that of the thread, which runs the replica's methods, and of the threads that it starts. Others of the
    process, which take and give messages, keep theirs.
    """

    class GivingWay(replica):
        def __init__(self, *arguments: Any) -> None:
            os.nice(COMPUTE_NICENESS)
            super().__init__(*arguments)

    GivingWay.__name__, GivingWay.__doc__ = replica.__name__, replica.__doc__  # Serve takes names from it
    return GivingWay
