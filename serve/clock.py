"""Where the time of one request goes."""

import time


class StageClock:
    """Milliseconds by stage: each lap is the time since the one before, less what was spent elsewhere in it."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._elsewhere_ms = 0.0

    def lap(self, stage: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self._stages[stage] = (now - self._last) * 1000 - self._elsewhere_ms
        self._last, self._elsewhere_ms = now, 0.0

    def elsewhere(self, stage: str, milliseconds: float) -> None:
        """Names a part of the running lap that another process measured: a stage of its own."""
        self._stages[stage] = self._stages.get(stage, 0.0) + milliseconds
        self._elsewhere_ms += milliseconds

    def milliseconds(self) -> dict[str, float]:
        """All stages so far and `total`, to the microsecond."""
        total = (self._last - self._started) * 1000
        return {stage: round(value, 3) for stage, value in {**self._stages, "total": total}.items()}
