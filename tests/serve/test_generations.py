"""A keeper follows `index.json` from state to state, keeps a few old ones, and stays with the last good one."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from lexlip.errors import IndexFormatError
from serve.generations import GenerationKeeper


@dataclass(frozen=True)
class State:
    """An opened state that is nothing but its name."""

    state: str


class Folder:
    """An index folder whose manifest is the state's name; "damaged" cannot be opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opening_seconds = 0.0
        self.publish("1")

    def publish(self, content: str) -> None:
        fresh = self.folder / "index.json.tmp"
        fresh.write_text(content)
        os.replace(fresh, self.folder / "index.json")

    def open(self) -> State:
        content = (self.folder / "index.json").read_text()
        time.sleep(self.opening_seconds)
        if content == "damaged":
            raise IndexFormatError("damaged")
        return State(content)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_published_state_becomes_current_and_old_ones_are_kept_for_a_while(folder: Folder) -> None:
    keeper = GenerationKeeper(folder.folder, folder.open, kept=3)
    for number in range(2, 6):
        folder.publish(str(number))
        assert keeper.refresh()

    assert keeper.current == State("5")
    assert not keeper.refresh()
    assert [keeper.get(str(number)) for number in range(1, 7)] == [None, None, State("3"), State("4"), State("5"), None]


def test_a_state_asked_for_is_looked_for_and_one_that_was_missed_is_out_of_reach(folder: Folder) -> None:
    keeper = GenerationKeeper(folder.folder, folder.open, kept=3)
    folder.publish("2")
    folder.publish("3")

    assert keeper.get("3") == State("3")
    assert keeper.get("2") is None


def test_threads_that_ask_for_a_new_state_together_all_get_it(folder: Folder) -> None:
    keeper = GenerationKeeper(folder.folder, folder.open, kept=3)
    folder.opening_seconds = 0.05
    folder.publish("2")

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(keeper.get, ["2"] * 8)) == [State("2")] * 8


def test_a_state_that_cannot_be_served_leaves_the_last_good_one_and_says_why(folder: Folder) -> None:
    keeper = GenerationKeeper(folder.folder, folder.open, kept=3)
    folder.publish("damaged")

    assert not keeper.refresh()
    assert (keeper.current, keeper.refused) == (State("1"), "damaged")

    folder.publish("2")
    assert keeper.refresh()
    assert (keeper.current, keeper.refused) == (State("2"), None)


def test_a_manifest_that_cannot_be_read_now_is_looked_at_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = GenerationKeeper(folder.folder, folder.open, kept=3)
    folder.publish("2")

    def no_more_files(_: Path) -> os.stat_result:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", no_more_files)
        assert not keeper.refresh()
    assert "Too many open files" in str(keeper.refused)

    assert keeper.refresh()
    assert (keeper.current, keeper.refused) == (State("2"), None)
