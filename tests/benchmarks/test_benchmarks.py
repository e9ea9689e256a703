"""Benchmarks run as they say they do, and what is committed of them says how it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
RATIOS = {"peak_memory_vs_reference", "time_vs_reference", "peak_memory_vs_published", "time_vs_published"}


def run(script: str, *arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, f"benchmarks/{script}", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.name)
def test_a_committed_result_says_the_command_that_made_it(file: Path) -> None:
    record = json.loads(file.read_text())
    command = record.get("command") or record["machine"]["command"]
    script = next(part for part in command.split() if part.endswith(".py"))
    assert (ROOT / script).is_file()


def test_the_head_is_measured_beside_both_arrangements(tmp_path: Path) -> None:
    tiny = ["--batches", "2", "--tokens", "17", "--vocabulary", "2000", "--rounds", "1"]
    run("lexicon_head.py", *tiny, "--json", str(tmp_path / "head.json"))
    record = json.loads((tmp_path / "head.json").read_text())
    assert set(record["ratios"]) == RATIOS
    (size,) = record["sizes"]
    ours, theirs = size["measured"]["ours"], size["measured"]["published"]
    assert size["ratios"]["time_vs_published"] == pytest.approx(ours["seconds"] / theirs["seconds"], abs=1e-3)
    assert {"device", "command", "versions"} <= set(record)


@pytest.mark.slow
@pytest.mark.parametrize("phase", [1, 2])
def test_whole_steps_are_measured_in_both_phases(tmp_path: Path, phase: int) -> None:
    tiny = ["--settings.image-size", "32", "--settings.text-layers", "1", "--settings.vocabulary", "500"]
    tiny += ["--settings.queue", "64", "--batches", "2", "--rounds", "1", "--settings.phase", str(phase)]
    run("train_step.py", *tiny, "--json", str(tmp_path / "step.json"))
    record = json.loads((tmp_path / "step.json").read_text())
    assert set(record["ratios"]) == RATIOS
    assert record["settings"]["phase"] == phase
    assert record["sizes"][0]["interleaved"]


@pytest.mark.slow
def test_photos_that_are_terms_find_themselves(tmp_path: Path, tiny_clip: Path, scenes: Path) -> None:
    pairs = ["--train", str(scenes), "--data", str(scenes), "--threshold", "0"]
    run("known_photos.py", "--clip", str(tiny_clip), *pairs, "--work", str(tmp_path), "--json", str(tmp_path / "json"))
    record = json.loads((tmp_path / "json").read_text())
    assert 8 < record["16/8"]["terms"]["image_mean"] <= 16
    assert 4 < record["16/8"]["terms"]["text_mean"] <= 8
    assert record["16/8"]["text_to_image"]["r1"] > record["dense"]["text_to_image"]["r1"]


def test_the_committed_serving_result_has_all_that_is_claimed_of_the_service() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "serving.json").read_text())
    assert {"noop", "search", "stages_ms", "kill_replica", "kill_shard", "swap", "overload"} <= set(record)
    assert set(record["search"]["clients"]) == {"1", "8", "32"}
    for clients in record["search"]["clients"].values():
        assert {"p50_ms", "p99_ms", "qps", "errors", "partial"} <= set(clients)
    assert {"requests", "errors", "partial", "recovery_s"} <= set(record["kill_replica"])
    assert record["swap"]["published"] == 20
    assert "serve_graph" in record["a_deployment_for_every_shard"]
