"""Ray Data's scheduling loop at a measured pace.

While finished blocks wait to be taken, something is always ready for the loop of a streaming execution, and it turns
without a pause. In a training worker on CPUs that was half a core and a fight for Python's lock: training went at half
its speed whenever reading was ahead of it, which is as it should be nearly always.
"""

import time

import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.streaming_executor import StreamingExecutor

STEP_SECONDS = 0.02  # a block of examples takes longer to read, and far longer to be learned from


class PacedScheduling(ExecutionCallback):
    """Pauses after each turn of the loop."""

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        """Sleeps, without Python's lock."""
        time.sleep(STEP_SECONDS)


def pace_scheduling() -> None:
    """Lets all executions pause that this process starts from now on."""
    callbacks = ray.data.DataContext.get_current().custom_execution_callback_classes
    if PacedScheduling not in callbacks:
        callbacks.append(PacedScheduling)
