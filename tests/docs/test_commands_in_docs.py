"""Commands in the documentation: `lexlip` ones are run, pipelines' are parsed, and files they link to are there."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tyro

from lexlip import command_line
from lexlip.index import BuildSettings, CaptionIndexing, build_shard, measure_captions, publish
from lexlip.training.runs import find_run

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "cluster/README.md",
    "docs/data-model.md",
    "docs/tuning.md",
    "docs/operations.md",
    "docs/security.md",
]


def commands_of(page: str) -> list[list[str]]:
    """Every command line in the shell blocks of a page, cut into words."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def settings_of_pipelines() -> dict[str, type]:
    from pipelines.encode import Encode
    from pipelines.evaluate import Evaluate
    from pipelines.prepare import Prepare
    from pipelines.pretrain import PretrainArguments

    return {
        "encode": Encode,
        "evaluate": Evaluate,
        "prepare": Prepare,
        "pretrain": PretrainArguments,
    }


@pytest.fixture
def demo(tiny_lexlip: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which out/demo is as the demo leaves it, but tiny; commands run there."""
    from lexlip.model.lexlip import LexLIP

    base = tmp_path / "out" / "demo"
    base.mkdir(parents=True)
    shutil.copytree(tiny_lexlip, base / "lexlip")
    model = LexLIP.from_pretrained(tiny_lexlip)
    rows = pq.read_table(scenes).slice(0, 5).to_pylist()
    vectors = model.encode_image([row["image"] for row in rows], top_terms=20)
    table = pa.table(
        {
            "id": [row["image_id"] for row in rows],
            "terms": pa.array([vector.terms.tolist() for vector in vectors], pa.list_(pa.int32())),
            "weights": pa.array([vector.weights.tolist() for vector in vectors], pa.list_(pa.float32())),
            "captions": [row["captions"] for row in rows],
        }
    )
    (base / "vectors").mkdir()
    pq.write_table(table, base / "vectors" / "part-00000.parquet")
    terms, settings = len(model.vocabulary), BuildSettings(maximum_weight=float(np.float32(1)))
    files = [base / "vectors" / "part-00000.parquet"]
    field = measure_captions(files, model.vocabulary).field(model.vocabulary, settings.maximum_weight)
    captions = CaptionIndexing(field, model.vocabulary)
    entry = build_shard(files, base / "index", 0, settings, vocabulary_terms=terms, captions=captions)
    publish(
        base / "index",
        [entry],
        vocabulary_fingerprint=model.vocabulary.fingerprint,
        model_fingerprint=model.fingerprint,
        settings=settings,
        vocabulary_terms=terms,
        captions=field,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_lexlip_commands_run(page: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [words for words in commands_of(page) if words[0] == "lexlip"]
    for words in commands:
        if not {"--tyro-print-completion", "--help"} & set(words):  # these only print, and leave
            monkeypatch.setattr(sys, "argv", words)
            assert command_line.main() == 0, " ".join(words)
    if page.startswith("docs/"):
        assert commands


def test_pipelines_take_the_arguments_that_pages_give() -> None:
    from pipelines.pretrain import PretrainArguments

    pipelines = settings_of_pipelines()
    seen = set()
    for page in PAGES:
        for words in commands_of(page):
            if "python" in words and "pipelines/" in words[words.index("python") + 1]:
                script = words[words.index("python") + 1]
                name = Path(script).stem
                if "..." in words or name not in pipelines:
                    assert (REPOSITORY / "pipelines" / f"{name}.py").is_file()
                    continue
                parsed = tyro.cli(pipelines[name], args=words[words.index("python") + 2 :])
                if isinstance(parsed, PretrainArguments) and ":" not in parsed.run:
                    assert find_run(parsed.run).name == parsed.run
                seen.add(name)
    assert {"encode", "evaluate", "prepare", "pretrain"} <= seen


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    links = re.findall(r"\]\(([^)#\s]+)\)", text)
    for link in links:
        if not link.startswith(("http://", "https://")):
            assert (REPOSITORY / page).parent.joinpath(link).exists(), f"{page}: {link}"
