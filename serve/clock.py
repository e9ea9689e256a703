"""Where the time of one request goes."""

import time


class StageClock:
    """Milliseconds by stage: each lap is the time since the one before."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._stages: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self._stages[stage] = (now - self._last) * 1000
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        """All stages so far and `total`, to the microsecond."""
        total = (self._last - self._started) * 1000
        return {stage: round(value, 3) for stage, value in {**self._stages, "total": total}.items()}
