"""Evaluation pixels: one size, nothing random, settings that travel as JSON."""

import json

import numpy as np
import pytest
from PIL import Image

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import DataError


def stripes() -> Image.Image:
    """300 x 100: red, lime and blue thirds."""
    image = Image.new("RGB", (300, 100), "lime")
    image.paste("red", (0, 0, 100, 100))
    image.paste("blue", (200, 0, 300, 100))
    return image


def test_squash_keeps_the_whole_picture_and_crop_its_middle() -> None:
    squashed = ImagePreprocessing(size=60).pixels(stripes())
    cropped = ImagePreprocessing(size=60, resize="crop").pixels(stripes())
    assert squashed.shape == cropped.shape == (3, 60, 60)
    assert squashed.dtype == np.uint8
    assert squashed.flags.c_contiguous
    assert squashed[:, 30, 5].tolist() == [255, 0, 0]
    assert squashed[:, 30, 55].tolist() == [0, 0, 255]
    assert (cropped[1, :, 2:58] == 255).all()
    assert (cropped[0, :, 2:58] == 0).all()


def test_a_tall_picture_is_cropped_in_its_middle_too() -> None:
    cropped = ImagePreprocessing(size=30, resize="crop").pixels(stripes().rotate(90, expand=True))
    assert cropped[:, 15, 15].tolist() == [0, 255, 0]


def test_settings_travel_as_json() -> None:
    settings = ImagePreprocessing(size=96, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), resize="crop")
    assert ImagePreprocessing.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert hash(settings) == hash(ImagePreprocessing.from_json(settings.to_json()))


def test_whether_pictures_are_read_mirrored_too_travels_along_and_is_not_said_where_they_are_not() -> None:
    settings = ImagePreprocessing(mirrored=True)
    assert ImagePreprocessing.from_json(settings.to_json()) == settings
    assert "mirrored" not in ImagePreprocessing().to_json()


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"resize": "stretch"},
        {"std": [1, 0, 1]},
        {"mean": [1, 2]},
        {"colour": 1},
        {"mean": "abc"},
        {"mirrored": "no"},
    ],
)
def test_unusable_settings_are_refused(values: dict) -> None:
    with pytest.raises(DataError, match="preprocessing"):
        ImagePreprocessing.from_json(values)
