"""Image towers: what timm backbones give as tokens, other resolutions, and strict loading of weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from lexlip.errors import ModelError
from lexlip.model.image_tower import ImageTower, ImageTowerConfig, load_image_weights

SMALL_SWIN = {"embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
SMALL_BEIT = {"embed_dim": 32, "depth": 1, "num_heads": 2}
TOWERS: dict[str, tuple[Mapping[str, Any], int]] = {  # options, and tokens of an image of 64 pixels
    "test_vit": ({}, 1 + 4 * 4),
    "test_resnet": ({}, 2 * 2),
    "test_convnext": ({}, 2 * 2),
    "swin_tiny_patch4_window7_224": (SMALL_SWIN, 8 * 8),
    "beit_base_patch16_224": (SMALL_BEIT, 1 + 4 * 4),
}


def make_tower(name: str, image_size: int = 64) -> ImageTower:
    options, _ = TOWERS[name]
    return ImageTower(ImageTowerConfig(name, image_size, options)).eval()


@pytest.mark.parametrize("name", TOWERS)
def test_every_kind_of_backbone_gives_a_sequence_of_tokens(name: str) -> None:
    tower = make_tower(name)
    tokens_BTD = tower(torch.rand(2, 3, 64, 64))
    assert tokens_BTD.shape == (2, TOWERS[name][1], tower.width)
    assert sorted(name for stage in tower.stages() for name in stage) == sorted(
        name for name, _ in tower.backbone.named_parameters()
    )


@pytest.mark.parametrize("name", ["test_resnet", "swin_tiny_patch4_window7_224"])
def test_tokens_of_a_map_are_its_cells_row_by_row(name: str) -> None:
    tower = make_tower(name)
    images = torch.rand(1, 3, 64, 64)
    tokens_TD = tower(images)[0]
    feature_map = tower.backbone.forward_features(images)[0]
    cell = feature_map[1, 0] if tower.channels_last_map else feature_map[:, 1, 0]
    columns = feature_map.shape[1]
    torch.testing.assert_close(tokens_TD[columns], cell)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_half_the_resolution_needs_no_change(name: str) -> None:
    tower = make_tower(name)
    assert tower.accepts(32)
    assert tower(torch.rand(1, 3, 32, 32)).shape[1] < TOWERS[name][1]


def test_some_backbones_take_one_size_only() -> None:
    tower = make_tower("beit_base_patch16_224")
    assert tower.accepts(64)
    assert not tower.accepts(32)
    assert not make_tower("test_vit").accepts(40)  # no whole number of patches


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224", "beit_base_patch16_224"])
def test_another_resolution_keeps_the_learned_weights(name: str) -> None:
    tower = make_tower(name)
    before = tower(torch.full((1, 3, 64, 64), 0.5)).mean(dim=1)
    tower.set_image_size(128)
    after = tower(torch.full((1, 3, 128, 128), 0.5)).mean(dim=1)
    assert torch.cosine_similarity(before, after).item() > 0.9
    again = ImageTower(tower.config)
    again.set_image_size(128)
    again.load_state_dict(tower.state_dict(), strict=True)


def test_positions_are_interpolated_in_place() -> None:
    tower = make_tower("test_vit")
    assert tower.backbone.pos_embed.shape[1] == 1 + 4 * 4
    tower.set_image_size(96)
    assert tower.backbone.pos_embed.shape[1] == 1 + 6 * 6
    assert isinstance(tower.backbone.pos_embed, torch.nn.Parameter)


def test_sizes_and_names_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match="whole number of patches of 16"):
        make_tower("test_vit", 70)
    with pytest.raises(ModelError, match="whole number of patches of 16"):
        make_tower("test_vit").set_image_size(70)
    with pytest.raises(ModelError, match="no_such_net"):
        ImageTower(ImageTowerConfig("no_such_net", 64))
    with pytest.raises(ModelError, match="colour"):
        ImageTower(ImageTowerConfig("test_vit", 64, {"colour": "blue"}))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights as timm publishes them: with a classifier."""
    torch.manual_seed(3)
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    assert "fc.weight" in state
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path


def test_published_weights_fill_the_tower_and_their_classifier_is_passed_over(weights: Path) -> None:
    for location in (weights, weights / "model.safetensors"):
        tower = make_tower("test_resnet")
        load_image_weights(tower, str(location))
        stored = load_file(weights / "model.safetensors")
        for name, value in tower.backbone.state_dict().items():
            torch.testing.assert_close(value, stored[name], rtol=0, atol=0)


def test_weights_that_do_not_fit_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not fit test_convnext"):
        load_image_weights(make_tower("test_convnext"), str(weights))
    state = load_file(weights / "model.safetensors")
    save_file(state | {"extra.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match=r"extra\.weight"):
        load_image_weights(make_tower("test_resnet"), str(tmp_path / "more.safetensors"))
    del state["conv1.0.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(ModelError, match="do not fit test_resnet"):
        load_image_weights(make_tower("test_resnet"), str(tmp_path / "less.safetensors"))


def test_weights_that_are_not_there_or_not_readable_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_image_weights(make_tower("test_resnet"), str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be read"):
        load_image_weights(make_tower("test_resnet"), str(tmp_path))
