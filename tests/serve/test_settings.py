"""Arguments of the application, and errors that say what to do."""

from pathlib import Path

import pytest

from serve.app import lexlip
from serve.settings import ServeSettings, SettingsError


def test_arguments_are_read_by_name_and_type() -> None:
    settings = ServeSettings.from_arguments({"replicas": "3", "deadline_ms": "250.5", "index": "somewhere"})

    assert (settings.replicas, settings.deadline_ms, settings.index) == (3, 250.5, "somewhere")


@pytest.mark.parametrize("arguments", [{"shards": "2"}, {"replicas": "two"}, {"replicas": "0"}, {"deadline_ms": "nan"}])
def test_unknown_and_malformed_arguments_are_refused_by_name(arguments: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(arguments))):
        ServeSettings.from_arguments(arguments)


def test_without_arguments_and_without_the_demo_the_error_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match="make demo"):
        lexlip({})


def test_a_missing_index_of_ones_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"pipelines/encode\.py"):
        lexlip({"index": str(tmp_path)})
