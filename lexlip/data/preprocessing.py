"""From a decoded picture to the pixels a model takes in evaluation, encoding and serving: nothing here is random."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from lexlip.errors import DataError
from lexlip.settings_text import ADDED_LATER

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImagePreprocessing:
    """How pictures become model input; saved with every model, so that training and serving cannot differ.

    Attributes:
        size: side of the square input, in pixels.
        mean: per channel (red, green, blue), for pixels scaled to 0..1. Applied by the model, on its device.
        std: as `mean`.
        resize: "squash" scales both sides to `size` and keeps the whole picture; "crop" scales the shorter side to
            `size` and keeps the middle.
        mirrored: a picture is encoded twice, as it is and mirrored, and its vector is the mean of both.
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: Literal["squash", "crop"] = "squash"
    mirrored: bool = field(default=False, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise DataError(f"preprocessing: size must be at least 1 pixel, not {self.size}")
        if self.resize not in ("squash", "crop"):
            raise DataError(f"preprocessing: resize must be 'squash' or 'crop', not {self.resize!r}")
        if not isinstance(self.mirrored, bool):
            raise DataError(f"preprocessing: mirrored must be true or false, not {self.mirrored!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise DataError("preprocessing: mean and std need three values each, those of std positive")

    @property
    def looks(self) -> int:
        """How often a picture is looked at to encode it."""
        return 2 if self.mirrored else 1

    def read_mirrored(self, mirrored: bool | None) -> "ImagePreprocessing":
        """These settings with pictures read mirrored too or not, as a job wants it; None leaves them as they are."""
        return self if mirrored is None else replace(self, mirrored=mirrored)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """The picture as uint8 [3, size, size], resized bicubically."""
        box = _middle_square(image.size) if self.resize == "crop" else None
        resized = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        return channels_first(resized)

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values; `mirrored` is said only where it is so."""
        values = asdict(self)
        return values if self.mirrored else {name: value for name, value in values.items() if name != "mirrored"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ImagePreprocessing":
        """The settings from what `to_json` gave.

        Raises:
            DataError: an unknown or unusable setting.
        """
        try:
            settings = dict(values)
            for name in {"mean", "std"} & settings.keys():
                settings[name] = tuple(float(value) for value in settings[name])
            return cls(**settings)
        except (TypeError, ValueError) as error:
            raise DataError(f"preprocessing settings {dict(values)} cannot be used: {error}") from error


def channels_first(image: Image.Image) -> np.ndarray:
    """An RGB picture as a contiguous uint8 array [3, height, width]."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _middle_square(size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
