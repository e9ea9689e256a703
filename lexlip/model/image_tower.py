"""Image tower: any timm backbone as a sequence of tokens.

Shapes: B images, S pixels a side, T tokens, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models import group_parameters
from torch import Tensor, nn

from lexlip.errors import ModelError


@dataclass(frozen=True)
class ImageTowerConfig:
    """What is needed to rebuild the tower without its original weights.

    Attributes:
        architecture: a timm model name.
        image_size: pixels a side that position embeddings are made for.
        options: further arguments of `timm.create_model`, for example {"pad_type": "same"}.
    """

    architecture: str = "vit_base_patch16_224"
    image_size: int = 224
    options: Mapping[str, Any] = field(default_factory=dict)


class ImageTower(nn.Module):
    """A timm backbone; transformers give their tokens, convolutional networks the cells of their last feature map."""

    def __init__(self, config: ImageTowerConfig) -> None:
        super().__init__()
        self.config = config
        try:
            self.backbone = timm.create_model(config.architecture, num_classes=0, **self._sized_options(config))
        except (RuntimeError, TypeError) as error:
            raise ModelError(f"image tower {config.architecture!r} with {dict(config.options)}: {error}") from error
        self.width: int = self.backbone.num_features
        self.prefix_tokens: int = getattr(self.backbone, "num_prefix_tokens", 0)
        self.channels_last_map = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        self.convolutional = not hasattr(self.backbone, "set_input_size")
        if self.convolutional:
            self.backbone = self.backbone.to(memory_format=torch.channels_last)  # convolutions run 2x faster on CPU

    @staticmethod
    def _sized_options(config: ImageTowerConfig) -> dict[str, Any]:
        options = dict(config.options)
        if config.architecture.startswith(("vit_", "deit", "eva")):
            # Positions are interpolated on the fly, so that half-resolution and fine-tuning images need no other model.
            options |= {"img_size": config.image_size, "dynamic_img_size": True}
        elif config.architecture.startswith("beit"):
            options |= {"img_size": config.image_size}
        return options

    def forward(self, images_B3SS: Tensor) -> Tensor:
        """[B, T, D] tokens; prefix tokens (class, registers) come first."""
        if self.convolutional:
            images_B3SS = images_B3SS.contiguous(memory_format=torch.channels_last)
        features = self.backbone.forward_features(images_B3SS)
        if features.ndim == 4:
            if self.channels_last_map:
                features = features.permute(0, 3, 1, 2)
            features = features.flatten(2).transpose(1, 2)
        return features

    @property
    def accepts_any_size(self) -> bool:
        """Whether images of another size than the configured one can be taken as they are."""
        return self.convolutional or bool(getattr(self.backbone, "dynamic_img_size", False))

    def set_image_size(self, image_size: int) -> None:
        """Interpolates position embeddings for another resolution where the backbone stores them by size."""
        if image_size != self.config.image_size and hasattr(self.backbone, "set_input_size"):
            self.backbone.set_input_size(img_size=(image_size, image_size))
            self.config = ImageTowerConfig(self.config.architecture, image_size, self.config.options)

    def stages(self) -> list[list[str]]:
        """Names of parameters by depth, input side first (timm's own grouping)."""
        groups = group_parameters(self.backbone, self.backbone.group_matcher(coarse=True))
        return [groups[depth] for depth in sorted(groups)]


def load_image_weights(tower: ImageTower, weights: str) -> None:
    """Fills the backbone from a safetensors file or folder, or from timm's hub with "timm".

    A classifier in the file is passed over; anything else missing or left over is an error.
    """
    if weights == "timm":
        pretrained = timm.create_model(
            tower.config.architecture, pretrained=True, num_classes=0, **tower.config.options
        )
        state = pretrained.state_dict()
    else:
        path = Path(weights)
        file = path / "model.safetensors" if path.is_dir() else path
        if not file.is_file():
            raise ModelError(f"image weights {file}: no such file. Give a timm safetensors file or its folder.")
        state = load_file(file)
    classifier = str(tower.backbone.pretrained_cfg.get("classifier") or "classifier")
    state = {name: value for name, value in state.items() if not name.startswith(classifier + ".")}
    try:
        tower.backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(f"image weights {weights} do not fit {tower.config.architecture}: {error}") from error
