"""Model folders: a round trip changes nothing, and whatever is wrong with a folder is one clear error."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lexlip.errors import ModelError, VocabularyError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_model, save_model
from lexlip.vocabulary import Vocabulary

TEXTS = ["a red ball", "two cats on the left"]


@pytest.fixture
def folder(tiny_lexlip: Path, tmp_path: Path) -> Path:
    """A model folder to change."""
    return Path(shutil.copytree(tiny_lexlip, tmp_path / "model"))


def change_config(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


@pytest.mark.parametrize("build", [build_lexlip, build_clip])
def test_a_round_trip_changes_nothing(
    build: Callable, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = build(tiny_model_settings, vocabulary).eval()
    model.set_image_size(96)
    save_model(model, tmp_path / "model", training={"run": "a test"})
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert loaded.fingerprint == model.fingerprint
    assert loaded.vocabulary == vocabulary
    assert loaded.preprocessing == model.preprocessing
    assert loaded.preprocessing.size == 96
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)
    for ours, theirs in (
        (model.encode_text(TEXTS), loaded.encode_text(TEXTS)),
        (model.encode_pixels(pixels), loaded.encode_pixels(pixels)),
    ):
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(getattr(left, "weights", left), getattr(right, "weights", right))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["fingerprint"] == model.fingerprint
    assert config["training"] == {"run": "a test"}


def test_the_tied_projection_is_stored_once_and_tied_again(lexlip: LexLIP, folder: Path) -> None:
    loaded = LexLIP.from_pretrained(folder)
    assert loaded.text_head.projection is loaded.text_tower.word_embeddings
    assert loaded.image_head.projection is not loaded.text_tower.word_embeddings
    assert loaded.fingerprint == lexlip.fingerprint


def test_a_projection_of_its_own_is_stored_beside_the_word_embeddings(
    tiny_model_settings: ModelSettings, lexlip: LexLIP, tmp_path: Path
) -> None:
    model = build_lexlip(replace(tiny_model_settings, tied_text_head=False), lexlip.vocabulary).eval()
    assert torch.equal(model.text_head.projection, model.text_tower.word_embeddings)
    with torch.no_grad():
        model.text_head.projection[5] += 1.0
    model.save_pretrained(tmp_path / "model")
    loaded = LexLIP.from_pretrained(tmp_path / "model")
    assert torch.equal(loaded.text_head.projection, model.text_head.projection)
    assert not torch.equal(loaded.text_head.projection, loaded.text_tower.word_embeddings)
    assert loaded.fingerprint == model.fingerprint
    loaded.take_towers(lexlip)
    for head in (loaded.text_head, loaded.image_head):
        assert torch.equal(head.projection, lexlip.text_tower.word_embeddings)
        assert head.projection is not loaded.text_tower.word_embeddings


def test_the_fingerprint_changes_with_any_weight_or_setting(folder: Path, lexlip: LexLIP) -> None:
    model = LexLIP.from_pretrained(folder)
    with torch.no_grad():
        model.image_head.bias[3] += 1e-3
    assert model.fingerprint != lexlip.fingerprint
    model = LexLIP.from_pretrained(folder)
    model.set_image_size(96)
    assert model.fingerprint != lexlip.fingerprint


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json; not a model folder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors; not a model folder"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged model folder"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "damaged model folder"),
        (lambda folder: (folder / "config.json").write_text("[]"), "damaged model folder"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"weights"), "damaged model folder"),
        (lambda folder: change_config(folder, format_version=2), "format version 2, this program reads 3; train again"),
        (lambda folder: change_config(folder, kind="blip"), "unknown kind 'blip'"),
        (lambda folder: change_config(folder, kind=None), "lacks a setting"),
        (lambda folder: change_config(folder, transform="mystery"), "mystery"),
        (lambda folder: change_config(folder, image_tower={"architecture": "test_resnet"}), "weights do not fit"),
        (lambda folder: change_config(folder, image_tower={"colour": "blue"}), "one too many"),
    ],
)
def test_whatever_is_wrong_with_a_folder_is_one_clear_error(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message) as error:
        load_model(folder)
    assert str(folder) in str(error.value) or "config.json" in str(error.value)


def test_a_truncated_weights_file_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged model folder"):
        load_model(folder)


@pytest.mark.parametrize("place", [-1, -1000, 5000])
def test_a_flipped_bit_in_the_weights_is_noticed(folder: Path, place: int) -> None:
    file = folder / "model.safetensors"
    weights = bytearray(file.read_bytes())
    weights[place] ^= 1
    file.write_bytes(weights)
    with pytest.raises(ModelError, match="does not fit its checksum"):
        load_model(folder)


def test_the_vocabulary_must_be_the_one_of_training(folder: Path) -> None:
    file = folder / "vocab.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n")
    with pytest.raises(VocabularyError, match=r"the model in .* was made with vocabulary"):
        load_model(folder)
    file.unlink()
    with pytest.raises(VocabularyError, match="not found"):
        load_model(folder)


def test_models_of_the_other_kind_are_refused_by_name(tiny_lexlip: Path, tiny_clip: Path) -> None:
    with pytest.raises(ModelError, match="holds a 'clip' model, not 'lexlip'"):
        LexLIP.from_pretrained(tiny_clip)
    with pytest.raises(ModelError, match="holds a 'lexlip' model, not 'clip'"):
        DenseCLIP.from_pretrained(tiny_lexlip)


def test_a_folder_that_is_no_model_is_not_replaced(lexlip: LexLIP, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(ModelError, match="no model folder"):
        lexlip.save_pretrained(tmp_path / "photos")
    assert [file.name for file in tmp_path.rglob("*")] == ["photos", "holiday.jpg"]


def test_a_model_folder_is_replaced_whole(folder: Path, clip: DenseCLIP) -> None:
    clip.save_pretrained(folder)
    assert load_model(folder).fingerprint == clip.fingerprint
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_save_that_fails_leaves_the_old_model_and_nothing_else(folder: Path, lexlip: LexLIP) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_model(lexlip, folder, training={"when": object()})
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert load_model(folder).fingerprint == lexlip.fingerprint
