"""Arguments of the application, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serve.app import deployments_of_shards, lexlip
from serve.settings import ServeSettings, SettingsError

if TYPE_CHECKING:
    from conftest import ServedCorpus


def test_arguments_are_read_by_name_and_type() -> None:
    settings = ServeSettings.from_arguments({"replicas": "3", "deadline_ms": "250.5", "index": "somewhere"})

    assert (settings.replicas, settings.deadline_ms, settings.index) == (3, 250.5, "somewhere")


@pytest.mark.parametrize("arguments", [{"shards": "2"}, {"replicas": "two"}, {"replicas": "0"}, {"deadline_ms": "nan"}])
def test_unknown_and_malformed_arguments_are_refused_by_name(arguments: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(arguments))):
        ServeSettings.from_arguments(arguments)


@pytest.mark.parametrize(
    ("shards", "documents", "deployments"),
    [(4, 100_000, 1), (4, 1_000_001, 2), (4, 3_500_000, 4), (2, 8_000_000, 2), (1, 0, 1), (0, 0, 1)],
)
def test_small_shards_share_a_deployment(shards: int, documents: int, deployments: int) -> None:
    assert deployments_of_shards(shards, documents, documents_per_replica=1_000_000) == deployments


def test_without_arguments_and_without_the_demo_the_error_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match="make demo"):
        lexlip({})


def test_a_missing_index_of_ones_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"pipelines/encode\.py"):
        lexlip({"index": str(tmp_path)})


def test_a_missing_lookup_is_named(served_corpus: ServedCorpus, tmp_path: Path) -> None:
    places = {"index": str(served_corpus.folder), "model": str(served_corpus.model_folder)}
    with pytest.raises(SettingsError, match=r"no query_lookup\.safetensors there; pipelines/learn_lookup\.py"):
        lexlip(places | {"lookup": str(tmp_path)})


def test_building_the_graph_compiles_what_its_replicas_will_need(served_corpus: ServedCorpus) -> None:
    program = (
        "from lexlip.index.answering import answer_queries\n"
        "from serve.app import lexlip\n"
        "before = len(answer_queries.signatures)\n"
        f"lexlip({{'index': {str(served_corpus.folder)!r}, 'model': {str(served_corpus.model_folder)!r}}})\n"
        "print(before, len(answer_queries.signatures))\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["0", "1"]
