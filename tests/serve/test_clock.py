"""The time of one request by stage."""

from __future__ import annotations

import time

import pytest

from serve.clock import StageClock


def test_what_another_process_measured_is_taken_out_of_its_lap_and_nothing_is_counted_twice() -> None:
    began, clock = time.perf_counter(), StageClock()
    time.sleep(0.02)
    clock.elsewhere("forward", 8.0)
    clock.elsewhere("forward", 2.0)
    clock.lap("encode")
    clock.lap("merge")
    at_most = (time.perf_counter() - began) * 1000

    stages = clock.milliseconds()
    assert stages["forward"] == 10.0
    assert 10.0 <= stages["encode"] <= at_most - 9.999
    total = stages.pop("total")
    assert total == pytest.approx(sum(stages.values()), abs=0.01)
    assert total <= at_most + 0.001
