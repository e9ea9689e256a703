"""Augmented pixels vary with the seed alone and leave torch's generator as it was."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from lexlip.data.augmentation import AugmentationSettings, train_pixels
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import DataError

PREPROCESSING = ImagePreprocessing(size=48)
PLAIN = AugmentationSettings(smallest_crop=1.0, flip_share=0.0, operations=0)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_the_same_seed_gives_the_same_pixels(photo: Image.Image) -> None:
    settings = AugmentationSettings()
    first = [train_pixels(photo, PREPROCESSING, seed, settings) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda seed: train_pixels(photo, PREPROCESSING, seed, settings), range(20)))
    np.testing.assert_array_equal(first, again)
    assert len({pixels.tobytes() for pixels in first}) == 20
    assert first[0].shape == (3, 48, 48)
    assert first[0].dtype == np.uint8


def test_the_global_generator_is_left_alone(photo: Image.Image) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train_pixels(photo, PREPROCESSING, 99, AugmentationSettings())
    assert torch.equal(torch.rand(4), expected)


def test_a_failure_leaves_the_generator_alone_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(TypeError):
        train_pixels(None, PREPROCESSING, 1, AugmentationSettings())  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_flip_share_is_kept() -> None:
    halves = Image.new("RGB", (48, 48), "white")
    halves.paste("black", (0, 0, 24, 48))
    settings = AugmentationSettings(smallest_crop=1.0, flip_share=1.0, operations=0)
    assert train_pixels(halves, PREPROCESSING, 0, settings)[0, 24, 40] == 0
    assert train_pixels(halves, PREPROCESSING, 0, PLAIN)[0, 24, 40] == 255


def test_crops_keep_the_share_asked_for() -> None:
    """The columns of a ramp tell how much of the width a crop kept."""
    ramp = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (200, 1))).convert("RGB")
    settings = AugmentationSettings(smallest_crop=0.8, flip_share=0.0, operations=0)
    for seed in range(50):
        pixels = train_pixels(ramp, PREPROCESSING, seed, settings)
        assert int(pixels.max()) - int(pixels.min()) > 200 * 0.8 * 0.8  # area times the most uneven sides


@pytest.mark.parametrize(
    "values", [{"smallest_crop": 0}, {"smallest_crop": 1.2}, {"flip_share": -1}, {"operations": -1}, {"magnitude": 31}]
)
def test_unusable_settings_are_refused(values: dict) -> None:
    with pytest.raises(DataError, match="augmentation"):
        AugmentationSettings(**values)
