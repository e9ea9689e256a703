"""A dry run says what training will cost, counts what is there, and trains nothing."""

import sys
from pathlib import Path

import pytest

from lexlip.errors import DataError
from lexlip.training.runs import find_run
from pipelines import pretrain
from pipelines.dry_run import dry_run


def test_it_counts_the_data_that_is_there(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = find_run("demo")
    dry_run(run, str(scenes), workers=1).print()
    said = capsys.readouterr().out
    epochs = run.phases[0].epochs
    assert f"40 images ({scenes})" in said
    assert f"words: {epochs} steps ({epochs} epoch(s) of 64 images a step, 80 pixels)" in said
    assert "GB a worker" in said


def test_on_the_command_line_nothing_is_trained_or_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "--run", "coco-gpu", "--dry-run", "--resources.workers", "8"])
    pretrain.main()
    said = capsys.readouterr().out
    assert "coco-gpu: " in said
    assert "113,287 images (as the run says" in said
    assert "8 worker(s)" in said
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_data_set_in_mind_needs_data(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        dry_run(find_run("demo"), str(tmp_path / "nothing"), workers=1)
