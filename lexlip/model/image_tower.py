"""Image tower: any timm backbone as a sequence of tokens.

Shapes: B images, S pixels a side, T tokens, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import group_parameters
from torch import Tensor, nn

from lexlip.errors import ModelError


@dataclass(frozen=True)
class ImageTowerConfig:
    """What is needed to rebuild the tower without its original weights.

    Attributes:
        architecture: a timm model name.
        image_size: pixels a side that the tower is made for; `set_image_size` changes it afterwards.
        options: further arguments of `timm.create_model`, for example {"pad_type": "same"}.
    """

    architecture: str = "vit_base_patch16_224"
    image_size: int = 224
    options: Mapping[str, Any] = field(default_factory=dict)


class ImageTower(nn.Module):
    """A timm backbone; transformers give their tokens, convolutional networks the cells of their last feature map.

    Raises:
        ModelError: timm cannot make such a model, or its patches do not tile images of this size.
    """

    backbone: Any  # timm's models share methods that nn.Module does not declare

    def __init__(self, config: ImageTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size
        self.backbone = _create(config)
        self.width: int = self.backbone.num_features
        self.prefix_tokens: int = getattr(self.backbone, "num_prefix_tokens", 0)
        self.channels_last_map = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        self.convolutional = not hasattr(self.backbone, "set_input_size")
        if self.convolutional:
            self.backbone = self.backbone.to(memory_format=torch.channels_last)  # convolutions run 2x faster on CPU
        self._require_whole_patches(config.image_size)

    def forward(self, images_B3SS: Tensor) -> Tensor:
        """[B, T, D] tokens; prefix tokens (class, registers) come first."""
        if self.convolutional:
            images_B3SS = images_B3SS.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone.forward_features(images_B3SS)
        if features.ndim == 4:
            if self.channels_last_map:
                features = features.permute(0, 3, 1, 2)
            features = features.flatten(2).transpose(1, 2)
        return features

    def accepts(self, image_size: int) -> bool:
        """Whether images of this size can be taken as they are, without `set_image_size`."""
        if self.convolutional or image_size == self.image_size:
            return True
        return getattr(self.backbone, "dynamic_img_size", False) and image_size % self._patch_size == 0

    def set_image_size(self, image_size: int) -> None:
        """Interpolates position embeddings for another resolution where the backbone stores them by size.

        Raises:
            ModelError: patches do not tile images of this size.
        """
        self._require_whole_patches(image_size)
        if image_size != self.image_size and hasattr(self.backbone, "set_input_size"):
            self.backbone.set_input_size(img_size=(image_size, image_size))
        self.image_size = image_size

    def checkpoint_activations(self, on: bool) -> None:
        """Whether blocks compute their activations again in the backward pass instead of keeping them.

        Raises:
            ModelError: the backbone cannot.
        """
        if on and not hasattr(self.backbone, "set_grad_checkpointing"):
            raise ModelError(f"image tower {self.config.architecture!r} cannot checkpoint activations; leave it off")
        if hasattr(self.backbone, "set_grad_checkpointing"):
            self.backbone.set_grad_checkpointing(on)

    def without_decay(self) -> set[str]:
        """Names of parameters of the backbone that are no matrices although they have several dimensions.

        These are position embeddings, class tokens and tables of position biases.
        """
        return set(self.backbone.no_weight_decay()) if hasattr(self.backbone, "no_weight_decay") else set()

    def stages(self) -> list[list[str]]:
        """Names of parameters by depth, input side first (timm's own grouping)."""
        groups = group_parameters(self.backbone, self.backbone.group_matcher(coarse=True))
        return [groups[depth] for depth in sorted(groups)]

    @property
    def _patch_size(self) -> int:
        """Pixels a side of a patch; 1 where there are no patches."""
        side: int = self.backbone.patch_embed.patch_size[0] if hasattr(self.backbone, "patch_embed") else 1
        return side

    def _require_whole_patches(self, image_size: int) -> None:
        if image_size % self._patch_size:
            raise ModelError(
                f"image tower {self.config.architecture!r}: images of {image_size} pixels are not a whole number of "
                f"patches of {self._patch_size}; choose a multiple"
            )


def load_image_weights(tower: ImageTower, weights: str) -> None:
    """Fills the backbone from a safetensors file or folder, or from timm's hub with "timm".

    A classifier in the file is passed over; anything else missing or left over is an error.

    Raises:
        ModelError: there is no such file, it is damaged, or it does not fit the tower.
    """
    if weights == "timm":
        state = _create(tower.config, pretrained=True).state_dict()
    else:
        path = Path(weights)
        file = path / "model.safetensors" if path.is_dir() else path
        if not file.is_file():
            raise ModelError(f"image weights {file}: no such file. Give a timm safetensors file or its folder.")
        try:
            state = load_file(file)
        except SafetensorError as error:
            raise ModelError(f"image weights {file} cannot be read: {error}") from error
    classifier = str(tower.backbone.pretrained_cfg.get("classifier") or "classifier")
    state = {name: value for name, value in state.items() if not name.startswith(classifier + ".")}
    try:
        tower.backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(f"image weights {weights} do not fit {tower.config.architecture}: {error}") from error


def _create(config: ImageTowerConfig, pretrained: bool = False) -> nn.Module:
    # Only the backbone knows whether it is made for one size, and whether it can interpolate its positions on the fly,
    # so that images of half the resolution need no other model. It refuses an unknown option before it is built.
    wishes: list[dict[str, Any]] = [
        {"img_size": config.image_size, "dynamic_img_size": True},
        {"img_size": config.image_size},
        {},
    ]
    problem: Exception | None = None
    for sized in wishes:
        try:
            options = {**config.options, **sized}
            return timm.create_model(config.architecture, pretrained=pretrained, num_classes=0, **options)
        except TypeError as error:
            problem = error
        except RuntimeError as error:
            problem = error
            break
    raise ModelError(f"image tower {config.architecture!r} with {dict(config.options)}: {problem}") from problem
