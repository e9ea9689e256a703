"""The pen of drawn scenes, and their colours.

A `Pen` draws in a thing's own coordinates, x and y from -1 to 1 with y downwards; it turns, mirrors, scales and places
what it draws. Everything is a polygon or a line, so any rotation costs nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "red": (222, 38, 42),
    "orange": (248, 138, 22),
    "yellow": (252, 218, 40),
    "green": (44, 166, 66),
    "blue": (38, 98, 226),
    "purple": (136, 58, 190),
    "pink": (252, 140, 190),
    "brown": (132, 80, 40),
    "black": (34, 34, 40),
    "white": (248, 248, 248),
    "grey": (146, 150, 158),
}
ROUND = tuple((math.cos(math.tau * step / 28), math.sin(math.tau * step / 28)) for step in range(28))


@dataclass(frozen=True)
class Pen:
    """Draws in a thing's own coordinates.

    Attributes:
        draw: the canvas.
        x, y: centre of the thing, in pixels of the canvas.
        radius: what 1 means, in the same pixels.
        angle: rotation, in radians.
        mirrored: left and right exchanged.
        colour: of the thing's main parts.
    """

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    radius: float
    angle: float
    mirrored: bool
    colour: Colour

    @property
    def dark(self) -> Colour:
        """For outlines: darker than the colour, but lighter than black."""
        red, green, blue = self.colour
        if red + green + blue < 150:
            return (104, 104, 112)
        return (int(red * 0.55), int(green * 0.55), int(blue * 0.55))

    @property
    def light(self) -> Colour:
        """For highlights: half-way to white."""
        red, green, blue = self.colour
        return ((red + 255) // 2, (green + 255) // 2, (blue + 255) // 2)

    def shape(self, points: Sequence[Point], fill: Colour | None = None, outline: bool = True) -> None:
        """A filled polygon, in the main colour unless told otherwise."""
        placed = self._placed(points)
        self.draw.polygon(placed, fill=fill or self.colour)
        if outline:
            edge = self.dark if fill is None else (fill[0] * 6 // 10, fill[1] * 6 // 10, fill[2] * 6 // 10)
            self.draw.line([*placed, placed[0], placed[1]], fill=edge, width=max(2, round(self.radius * 0.07)))

    def blob(
        self,
        x: float,
        y: float,
        across: float,
        high: float | None = None,
        fill: Colour | None = None,
        outline: bool = True,
    ) -> None:
        """A filled ellipse around (x, y) with half axes `across` and `high`; a circle without `high`."""
        tall = across if high is None else high
        self.shape([(x + across * cosine, y + tall * sine) for cosine, sine in ROUND], fill, outline)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour | None = None) -> None:
        """A filled rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour | None = None) -> None:
        """A line of `width`, in the thing's own units."""
        pixels = max(2, round(width * self.radius))
        self.draw.line(self._placed(points), fill=fill or self.colour, width=pixels, joint="curve")

    def _placed(self, points: Sequence[Point]) -> list[Point]:
        cosine, sine = math.cos(self.angle) * self.radius, math.sin(self.angle) * self.radius
        side = -1 if self.mirrored else 1
        return [(self.x + side * x * cosine - y * sine, self.y + side * x * sine + y * cosine) for x, y in points]
