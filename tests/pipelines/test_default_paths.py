"""Outputs that a submitted job would lose, and defaults that do not travel with it, are refused with the remedy."""

from pathlib import Path

import pytest

from lexlip.errors import DataError
from pipelines.default_paths import DEMO, require, require_lasting
from pipelines.demo_data import draw_if_default


@pytest.fixture
def copied_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder as a job submitted with --working-dir finds it."""
    folder = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1a2b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_an_output_in_the_copy_of_the_working_directory_is_refused(copied_folder: Path, tmp_path: Path) -> None:
    require_lasting(out=tmp_path / "model", vectors=None)
    for output in (Path("models/mine"), copied_folder / "models"):
        with pytest.raises(DataError, match=rf"^--out {output}: .* give an absolute path"):
            require_lasting(out=output)


def test_a_default_that_did_not_travel_is_named_as_such(copied_folder: Path) -> None:
    with pytest.raises(DataError, match=r"^out/demo/lexlip does not travel with a submitted job"):
        require(DEMO / "lexlip")
    with pytest.raises(DataError, match=r"^--data out/demo/data/train: lies in Ray's copy"):
        draw_if_default(str(DEMO / "data" / "train"))
    assert not list(copied_folder.iterdir())


def test_elsewhere_relative_outputs_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_lasting(out="models/mine")
    with pytest.raises(DataError, match="`make demo` makes it"):
        require(DEMO / "lexlip")
