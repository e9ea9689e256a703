"""Programs submitted as jobs to a running head: exit status, outputs, and one line for what a user can mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lexlip.index import Index
from lexlip.model.saving import load_model

if TYPE_CHECKING:
    from conftest import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
Submit = Callable[..., tuple[int, str]]


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Submit:
    """Submits `python pipelines/NAME.py ...` with a copy of the repository: exit status and what was said."""

    def submit_job(pipeline: str, *arguments: str) -> tuple[int, str]:
        command = ["ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", str(ROOT)]
        command += ["--", "python", f"pipelines/{pipeline}.py", *arguments]
        return cluster.run(*command, log=tmp_path / "job.log")

    return submit_job


def errors_of(output: str) -> set[str]:
    """The lines for the user; when a job has failed, Ray says the end of its log again."""
    return {line for line in output.splitlines() if line.startswith("error: ")}


def test_a_model_is_trained_and_a_corpus_encoded(
    submit: Submit, scenes: Path, tmp_path: Path, show: Callable[[str], None]
) -> None:
    model, index = tmp_path / "model", tmp_path / "index"
    run = "tests/cluster_nodes/tiny_runs.py:two_phases"
    status, output = submit("pretrain", "--run", run, "--data", str(scenes), "--out", str(model))
    assert status == 0, output
    status, output = submit(
        *("encode", "--model", str(model), "--data", str(scenes), "--vectors", str(tmp_path / "vectors")),
        *("--index", str(index), "--actor-cpus", "0.5", "--part-rows", "16", "--shards", "2"),
    )
    assert status == 0, output
    assert load_model(model).kind == "lexlip"
    assert len(Index.open(index).stored(range(40))) == 40
    show("pretrain and encode ended with status 0; the model can be loaded and the index opened")


def test_two_models_are_compared(
    submit: Submit, scenes: Path, tiny_lexlip: Path, tiny_clip: Path, tmp_path: Path, show: Callable[[str], None]
) -> None:
    out = tmp_path / "report"
    status, output = submit(
        *("compare_clip", "--lexlip", str(tiny_lexlip), "--clip", str(tiny_clip), "--data", str(scenes)),
        *("--out", str(out), "--document-terms", "32", "--query-terms", "all", "--impact-bits", "8"),
        *("--skip", "fp16", "sq8", "hnsw", "ivfflat", "ivfpq", "--growth", "20", "--rounds", "1"),
        *("--round-seconds", "0.1", "--timed-queries", "20", "--examples", "2"),
    )
    assert status == 0, output
    assert {"comparison.json", "comparison.html"} <= {file.name for file in out.iterdir()}
    show("compare_clip ended with status 0 and wrote its page")


@pytest.mark.parametrize(
    ("pipeline", "arguments", "error"),
    [
        ("pretrain", ["--data", "/nowhere/*.parquet", "--out", "/nowhere"], "/nowhere/*.parquet: no file matches"),
        ("pretrain", ["--data", "/nowhere/*.parquet"], "--out out/demo/lexlip: lies in Ray's copy"),
        ("encode", [], "out/demo/lexlip does not travel with a submitted job"),
    ],
    ids=["data", "output", "default"],
)
def test_what_a_user_can_mend_is_one_line_and_a_failed_job(
    submit: Submit, pipeline: str, arguments: list[str], error: str, show: Callable[[str], None]
) -> None:
    status, output = submit(pipeline, *arguments)
    (line,) = errors_of(output)
    assert line.startswith(f"error: {error}")
    assert status != 0
    assert "Traceback" not in output
    show(f"status {status}, {line!r}")
