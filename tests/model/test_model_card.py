"""A model card says what the folder and the evaluation say, and replaces nobody's own words."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from lexlip.errors import DataError, ModelError
from lexlip.model.model_card import CardFacts, write_model_card
from lexlip.model.saving import load_model

FACTS = CardFacts(
    name="Scenes: a test", data="Drawn scenes.", data_terms='none, they are "drawn"', licence="apache-2.0"
)
EVALUATION = {
    "text_to_image": {"r1": 12.5, "r5": 30.0, "r10": 41.25},
    "image_to_text": {"r1": 10.0, "r5": 20.0, "r10": 30.5},
    "images": 1000,
    "captions": 5000,
    "terms": {"image_mean": 31.5, "text_mean": 12.25},
    "top_terms_in_captions": 44.0,
}


@pytest.fixture
def folder(tiny_lexlip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_lexlip, tmp_path / "model"))


def test_the_card_tells_what_is_known(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"training": {"run": "demo", "steps": 7}}))
    text = write_model_card(folder, FACTS, EVALUATION).read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "apache-2.0"
    assert yaml.safe_load(front)["library_name"] == "lexlip"
    for said in (
        "# Scenes: a test",
        f"`{config['fingerprint']}`",
        'none, they are "drawn"',
        "| text to image | 12.5 | 30.0 | 41.25 |",
        "31.5 an image, 12.25 a text",
        "44.0 % occur in its captions",
        "| run | demo |",
        "| steps | 7 |",
        "| image tower | test_vit, 64 pixels (squash) |",
    ):
        assert said in body
    load_model(folder)  # the card is in nobody's way
    assert "Not evaluated." in write_model_card(folder, FACTS).read_text()  # made anew


def test_the_code_in_a_card_runs(folder: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import pyarrow.parquet as pq

    text = write_model_card(folder, FACTS).read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(folder))
    monkeypatch.chdir(folder.parent)
    Path("boat.jpg").write_bytes(pq.read_table(scenes, columns=["image"])["image"][0].as_py())
    exec(code, {})
    assert "tensor(" in capsys.readouterr().out


def test_a_dense_model_has_a_card_too(tiny_clip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    text = write_model_card(folder, FACTS).read_text()
    assert "dense vectors" in text
    assert "DenseCLIP" in text


def test_a_card_by_hand_stays(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("mine")
    with pytest.raises(ModelError, match="was not made by this command"):
        write_model_card(folder, FACTS)
    assert (folder / "README.md").read_text() == "mine"
    with pytest.raises(ModelError, match="not a model folder"):
        write_model_card(tmp_path / "nowhere", FACTS)


def test_another_record_is_no_evaluation(folder: Path) -> None:
    with pytest.raises(DataError, match="no record of pipelines/evaluate"):
        write_model_card(folder, FACTS, {"text_to_image": {"r1": 1}})
    assert not (folder / "README.md").exists()
