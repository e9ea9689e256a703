"""From a decoded picture to the pixels a model takes, as in evaluation and serving (nothing random)."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ImagePreprocessing:
    """Saved with every model."""

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resize: str = "squash"

    def pixels(self, image: Image.Image) -> np.ndarray: ...
    def to_json(self) -> dict: ...
    @classmethod
    def from_json(cls, values: dict) -> "ImagePreprocessing": ...
