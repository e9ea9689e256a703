"""The settings of drawn scenes: a dozen pale backdrops on which things stand out."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from lexlip.data.scene_pen import Colour

Painter = Callable[["Backdrop"], None]


class Backdrop:
    """A square canvas with coordinates from 0 to 1, y downwards."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        """Args: side: in pixels; rng: varies the picture."""
        self.side = side
        self.rng = rng
        self.image = Image.new("RGB", (side, side))
        self.draw = ImageDraw.Draw(self.image)

    def fade(self, top: float, bottom: float, first: Colour, last: Colour) -> None:
        """Fills a band of full width, from one colour at its top to another at its bottom."""
        begin, end = round(top * self.side), round(bottom * self.side)
        for row in range(begin, end):
            share = (row - begin) / max(end - begin - 1, 1)
            colour = tuple(round(start + (stop - start) * share) for start, stop in zip(first, last, strict=True))
            self.draw.line([(0, row), (self.side, row)], fill=colour)

    def shape(self, points: list[tuple[float, float]], fill: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A filled rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def blob(self, x: float, y: float, across: float, high: float, fill: Colour) -> None:
        """A filled ellipse."""
        corners = (x - across, y - high, x + across, y + high)
        self.draw.ellipse([corner * self.side for corner in corners], fill=fill)

    def wave(self, height: float, swing: float, waves: float, fill: Colour) -> None:
        """Fills everything below a wavy line."""
        shift = self.rng.uniform(0, math.tau)
        steps = [step / 24 for step in range(25)]
        crest = [(x, height + swing * math.sin(shift + math.tau * waves * x)) for x in steps]
        self.shape([*crest, (1, 1), (0, 1)], fill)

    def crest(self, x: float, y: float, fill: Colour) -> None:
        """The crest of a small wave, a bow."""
        corners = (x - 0.06, y - 0.03, x + 0.06, y + 0.03)
        width = max(1, self.side // 90)
        self.draw.arc([corner * self.side for corner in corners], 200, 340, fill=fill, width=width)

    def somewhere(self, low: float, high: float) -> float:
        """A random number between two."""
        return float(self.rng.uniform(low, high))


def _beach(scene: Backdrop) -> None:
    scene.fade(0, 0.45, (150, 212, 250), (214, 240, 252))
    scene.fade(0.45, 0.68, (70, 170, 214), (140, 220, 232))
    scene.wave(0.66, 0.02, 1.5, (255, 255, 250))
    scene.wave(0.69, 0.02, 1.5, (246, 226, 170))
    for _ in range(40):
        x, y = scene.somewhere(0, 1), scene.somewhere(0.74, 1)
        scene.blob(x, y, 0.006, 0.006, (226, 200, 136))


def _night(scene: Backdrop) -> None:
    scene.fade(0, 1, (14, 18, 58), (52, 52, 110))
    for _ in range(45):
        size = scene.somewhere(0.003, 0.009)
        scene.blob(scene.somewhere(0, 1), scene.somewhere(0, 0.8), size, size, (236, 236, 190))
    scene.wave(0.86, 0.03, 1.2, (20, 28, 48))


def _meadow(scene: Backdrop) -> None:
    scene.fade(0, 0.6, (170, 220, 250), (226, 244, 252))
    scene.wave(0.45, 0.04, 1.0, (150, 206, 110))
    scene.wave(0.6, 0.03, 1.4, (128, 192, 92))
    for _ in range(60):
        x, y = scene.somewhere(0, 1), scene.somewhere(0.64, 1)
        scene.shape([(x - 0.008, y), (x, y - 0.045), (x + 0.008, y)], (94, 160, 66))


def _snow(scene: Backdrop) -> None:
    scene.fade(0, 0.65, (176, 190, 210), (216, 224, 234))
    scene.wave(0.5, 0.04, 1.1, (234, 240, 248))
    scene.wave(0.72, 0.03, 0.9, (246, 249, 253))
    for _ in range(60):
        size = scene.somewhere(0.006, 0.013)
        scene.blob(scene.somewhere(0, 1), scene.somewhere(0, 1), size, size, (255, 255, 255))


def _desert(scene: Backdrop) -> None:
    scene.fade(0, 0.7, (250, 222, 160), (254, 240, 206))
    scene.wave(0.5, 0.06, 0.9, (236, 190, 116))
    scene.wave(0.65, 0.05, 1.2, (224, 170, 94))
    scene.wave(0.82, 0.04, 0.8, (212, 154, 80))


def _sea(scene: Backdrop) -> None:
    scene.fade(0, 0.3, (190, 226, 246), (222, 242, 250))
    scene.fade(0.3, 1, (86, 178, 212), (24, 92, 156))
    for height in (0.4, 0.53, 0.66, 0.8, 0.93):
        shift = scene.somewhere(0, 0.25)
        for step in range(-1, 5):
            x = step * 0.25 + shift
            scene.crest(x, height, (170, 222, 240))


def _city(scene: Backdrop) -> None:
    scene.fade(0, 1, (206, 212, 224), (236, 230, 224))
    x = scene.somewhere(-0.06, 0)
    while x < 1:
        wide, top = scene.somewhere(0.12, 0.2), scene.somewhere(0.12, 0.5)
        tone = int(scene.rng.integers(128, 168))
        scene.box(x, top, x + wide, 0.88, (tone, tone + 4, tone + 18))
        for row in range(int((0.84 - top) / 0.08)):
            for column in range(int(wide / 0.05)):
                left, high = x + 0.015 + column * 0.05, top + 0.03 + row * 0.08
                lit = scene.rng.random() < 0.6
                scene.box(left, high, left + 0.025, high + 0.04, (250, 232, 160) if lit else (104, 110, 130))
        x += wide + 0.015
    scene.box(0, 0.88, 1, 1, (112, 114, 122))


def _forest(scene: Backdrop) -> None:
    scene.fade(0, 1, (196, 222, 190), (160, 196, 150))
    for far, near in ((0.75, (116, 164, 116)), (0.85, (76, 128, 84))):
        x = scene.somewhere(-0.05, 0.02)
        while x < 1.05:
            top, half = scene.somewhere(0.08, 0.3), scene.somewhere(0.07, 0.1)
            for layer in range(3):
                tip = top + layer * (far - top) / 4
                scene.shape([(x, tip), (x - half, tip + 0.26), (x + half, tip + 0.26)], near)
            scene.box(x - 0.012, far - 0.1, x + 0.012, far + 0.06, (110, 84, 60))
            x += scene.somewhere(0.13, 0.19)
    scene.wave(0.86, 0.015, 1.3, (98, 124, 72))


def _mountains(scene: Backdrop) -> None:
    scene.fade(0, 0.8, (186, 214, 242), (232, 240, 250))
    for tone, low, high in (((150, 162, 190), 0.16, 0.26), ((120, 132, 164), 0.3, 0.4)):
        x = scene.somewhere(-0.1, 0.1)
        while x < 1.15:
            tip, half = scene.somewhere(low, high), scene.somewhere(0.26, 0.34)
            scene.shape([(x, tip), (x - half, 0.82), (x + half, 0.82)], tone)
            scene.shape(
                [(x, tip), (x - half * 0.25, tip + 0.14), (x - 0.02, tip + 0.1), (x + half * 0.25, tip + 0.14)],
                (252, 252, 255),
            )
            x += scene.somewhere(0.3, 0.42)
    scene.wave(0.8, 0.02, 0.8, (136, 152, 126))


def _sunset(scene: Backdrop) -> None:
    scene.fade(0, 0.4, (112, 74, 140), (240, 130, 110))
    scene.fade(0.4, 0.72, (240, 130, 110), (255, 206, 120))
    scene.blob(scene.somewhere(0.3, 0.7), 0.72, 0.13, 0.13, (255, 240, 170))
    scene.fade(0.72, 1, (150, 84, 110), (84, 52, 90))
    for _ in range(7):
        x, y = scene.somewhere(0, 1), scene.somewhere(0.75, 0.97)
        scene.box(x, y, x + 0.16, y + 0.012, (250, 176, 120))


def _room(scene: Backdrop) -> None:
    scene.box(0, 0, 1, 1, (240, 226, 206))
    for stripe in range(6):
        scene.box(stripe / 6, 0, stripe / 6 + 0.083, 0.74, (232, 214, 190))
    scene.box(0, 0.71, 1, 0.74, (252, 250, 246))
    scene.box(0, 0.74, 1, 1, (186, 138, 96))
    for plank in (0.82, 0.91):
        scene.box(0, plank, 1, plank + 0.008, (150, 108, 72))
    left = scene.somewhere(0.04, 0.62)
    scene.box(left - 0.02, 0.1, left + 0.34, 0.46, (252, 250, 246))
    scene.box(left, 0.12, left + 0.15, 0.44, (180, 220, 246))
    scene.box(left + 0.17, 0.12, left + 0.32, 0.44, (180, 220, 246))


def _road(scene: Backdrop) -> None:
    scene.fade(0, 0.4, (186, 222, 244), (226, 240, 248))
    scene.box(0, 0.38, 1, 1, (172, 200, 136))
    middle = scene.somewhere(0.42, 0.58)
    scene.shape([(middle - 0.07, 0.38), (middle + 0.07, 0.38), (middle + 0.5, 1), (middle - 0.5, 1)], (124, 126, 132))
    for top, bottom in ((0.42, 0.48), (0.54, 0.64), (0.72, 0.86)):
        scene.shape(
            [
                (middle - 0.03 * top, top),
                (middle + 0.03 * top, top),
                (middle + 0.03 * bottom, bottom),
                (middle - 0.03 * bottom, bottom),
            ],
            (250, 246, 226),
        )


BACKDROPS: dict[str, Painter] = {
    "beach": _beach,
    "city": _city,
    "desert": _desert,
    "forest": _forest,
    "meadow": _meadow,
    "mountains": _mountains,
    "night": _night,
    "road": _road,
    "room": _room,
    "sea": _sea,
    "snow": _snow,
    "sunset": _sunset,
}


def paint_backdrop(setting: str, side: int, variant: int) -> Image.Image:
    """A backdrop of `BACKDROPS`, `side` pixels square; each variant looks a little different, and always the same."""
    scene = Backdrop(side, np.random.default_rng([variant, list(BACKDROPS).index(setting)]))
    BACKDROPS[setting](scene)
    return scene.image
