"""Train-time augmentation: random resized crop, flip and RandAugment(2, 9) of torchvision v2, repeatable by seed."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from lexlip.data.preprocessing import ImagePreprocessing


@dataclass(frozen=True)
class AugmentationSettings:
    smallest_crop: float = 0.5
    flip_share: float = 0.5
    operations: int = 2
    magnitude: int = 9


def train_pixels(
    image: Image.Image, preprocessing: ImagePreprocessing, seed: int, settings: AugmentationSettings
) -> np.ndarray:
    """uint8 [3, size, size], the same for the same seed; leaves the global random state alone."""
    ...
