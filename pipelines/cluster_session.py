"""Joining a Ray cluster, or starting one inside this process, and ending a program with one clear line.

Every pipeline does `run_main(main)` and, inside, `with cluster_session():`. The same program then works typed at a
shell (a local Ray lives as long as the program), under `ray job submit` (RAY_ADDRESS names the cluster), and called
from another pipeline or a test that has already started Ray (nothing is started or stopped).
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
import ray.data

from lexlip.errors import LexLIPError

USER_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130


@contextmanager
def cluster_session(*, cpus: int | None = None, dashboard: bool = False) -> Iterator[None]:
    """Uses the Ray that is there, else the cluster named by RAY_ADDRESS, else starts one that ends with the block.

    Args:
        cpus: Logical CPUs of a Ray started here; None takes the machine's. Ignored when joining a cluster.
        dashboard: Whether a Ray started here runs its dashboard: about 3 s more, and Ray Train reports its state to it.
    """
    if ray.is_initialized():
        settle_ray_data()
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if os.environ.get("RAY_ADDRESS"):
        ray.init(logging_level=logging.WARNING)
    else:
        # A plain init looks for a head that may have crashed long ago and waits over a minute for it; "local" does not.
        ray.init(address="local", num_cpus=cpus, include_dashboard=dashboard, logging_level=logging.WARNING)
    try:
        settle_ray_data()
        yield
    finally:
        ray.shutdown()


def settle_ray_data() -> None:
    """Settles how Ray Data talks: pipelines print their own progress, and a row function raises its own error."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # By default only the text of an error survives, inside a wrapper.
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It warns that progress bars are off, which is what was asked for.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


def user_error(error: BaseException) -> LexLIPError | None:
    """Finds the `LexLIPError` behind an exception, through Ray's wrappers around what a task or actor raised."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        candidate = waiting.pop(0)
        if id(candidate) in seen:
            continue
        seen.add(id(candidate))
        # A RayTaskError poses as its cause, but its message is the whole remote traceback: the cause has one line.
        if isinstance(candidate, LexLIPError) and not isinstance(candidate, ray.exceptions.RayError):
            return candidate
        worker_failures = getattr(candidate, "worker_failures", None)
        inner = [getattr(candidate, name, None) for name in ("cause", "controller_failure", "__cause__")]
        inner += list(worker_failures.values()) if isinstance(worker_failures, dict) else []
        waiting += [cause for cause in inner if isinstance(cause, BaseException)]
    return None


def run_main(main: Callable[[], None]) -> None:
    """Runs a program: a `LexLIPError`, wrapped by Ray or not, becomes one line on stderr and status 2.

    Any other exception is a defect and keeps its traceback.
    """
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except Exception as error:
        cause = user_error(error)
        if cause is None:
            raise
        # The first line is ours; Ray Data appends advice about its own retry settings.
        print(f"error: {str(cause).splitlines()[0]}", file=sys.stderr)
        sys.exit(USER_ERROR_STATUS)
