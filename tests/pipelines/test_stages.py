"""Stages are done once; what finished with other settings is neither redone nor mixed."""

from pathlib import Path

import pytest

from lexlip.errors import DataError
from pipelines.default_paths import require
from pipelines.stages import StageLog


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    assert StageLog(tmp_path).run("data", "seed 1", lambda: done.append("data"))
    assert not StageLog(tmp_path).run("data", "seed 1", lambda: done.append("data"))
    assert done == ["data"]
    assert set(StageLog(tmp_path).seconds) == {"data"}


def test_an_interrupted_stage_is_done_again(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        StageLog(tmp_path).run("data", "seed 1", fail)
    assert StageLog(tmp_path).run("data", "seed 1", lambda: None)


def test_other_settings_are_refused_rather_than_mixed(tmp_path: Path) -> None:
    StageLog(tmp_path).run("data", "seed 1", lambda: None)
    with pytest.raises(DataError, match="'data' was made there with other settings"):
        StageLog(tmp_path).run("data", "seed 2", lambda: None)


def test_a_missing_default_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make demo"):
        require("out/demo/no-such-thing")
    require(tmp_path / "of the user", "s3://bucket/of-the-user")
