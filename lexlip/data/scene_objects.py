"""The things of drawn scenes: simple pictures, each in a colour of choice, drawn by a `Pen` in its coordinates."""

import math
from collections.abc import Callable

from lexlip.data.scene_pen import COLOURS, Pen, Point

# Parts that keep their colour whatever the thing's is.
WOOD, GLASS, INK, CREAM, LEAF = (120, 78, 44), (176, 220, 244), (40, 40, 48), (255, 244, 220), (60, 140, 60)


def _ring(outer: float, inner: float, corners: int, start: float = -math.pi / 2) -> list[Point]:
    """A star-like polygon whose corners lie on two circles in turn."""
    steps = [(start + math.pi * step / corners, inner if step % 2 else outer) for step in range(2 * corners)]
    return [(reach * math.cos(turn), reach * math.sin(turn)) for turn, reach in steps]


def _arc(x: float, y: float, reach: float, first: float, last: float, steps: int = 14) -> list[Point]:
    """Points on a circle, from and to an angle in degrees (0 is right, 90 is down)."""
    turns = [math.radians(first + (last - first) * step / steps) for step in range(steps + 1)]
    return [(x + reach * math.cos(turn), y + reach * math.sin(turn)) for turn in turns]


def _ball(pen: Pen) -> None:
    pen.blob(0, 0, 0.92)
    pen.line(_arc(-1.1, 0, 1.05, -50, 50), 0.1, pen.light)
    pen.line(_arc(1.1, 0, 1.05, 130, 230), 0.1, pen.light)
    pen.line([(-0.9, 0), (0.9, 0)], 0.1, pen.light)


def _box(pen: Pen) -> None:
    pen.shape([(-0.85, -0.35), (-0.45, -0.8), (0.9, -0.8), (0.5, -0.35)], pen.light)
    pen.shape([(0.5, -0.35), (0.9, -0.8), (0.9, 0.4), (0.5, 0.85)], pen.dark)
    pen.box(-0.85, -0.35, 0.5, 0.85)


def _star(pen: Pen) -> None:
    pen.shape(_ring(1.0, 0.42, 5))


def _heart(pen: Pen) -> None:
    turns = [math.tau * step / 36 for step in range(36)]
    pen.shape(
        [
            (
                0.92 * math.sin(turn) ** 3,
                -0.06 * (13 * math.cos(turn) - 5 * math.cos(2 * turn) - 2 * math.cos(3 * turn) - math.cos(4 * turn)),
            )
            for turn in turns
        ]
    )


def _tree(pen: Pen) -> None:
    pen.box(-0.15, 0.25, 0.15, 1.0, WOOD)
    pen.blob(-0.4, 0.05, 0.45)
    pen.blob(0.4, 0.05, 0.45)
    pen.blob(0, -0.45, 0.52)
    pen.blob(0, -0.08, 0.42, outline=False)


def _house(pen: Pen) -> None:
    pen.box(-0.75, -0.15, 0.75, 0.9, CREAM)
    pen.shape([(-1.0, -0.1), (0, -0.95), (1.0, -0.1)])
    pen.box(-0.18, 0.3, 0.18, 0.9)
    pen.box(-0.6, 0.1, -0.3, 0.42, GLASS)
    pen.box(0.3, 0.1, 0.6, 0.42, GLASS)


def _car(pen: Pen) -> None:
    pen.shape([(-0.55, -0.05), (-0.35, -0.5), (0.3, -0.5), (0.6, -0.05)])
    pen.shape([(-0.4, -0.08), (-0.27, -0.4), (-0.03, -0.4), (-0.03, -0.08)], GLASS)
    pen.shape([(0.05, -0.08), (0.05, -0.4), (0.24, -0.4), (0.44, -0.08)], GLASS)
    pen.shape([(-0.98, -0.05), (0.8, -0.05), (0.98, 0.1), (0.98, 0.38), (-0.98, 0.38)])
    for wheel in (-0.52, 0.52):
        pen.blob(wheel, 0.38, 0.25, fill=INK)
        pen.blob(wheel, 0.38, 0.1, fill=(200, 200, 205))


def _boat(pen: Pen) -> None:
    pen.line([(0, 0.35), (0, -0.95)], 0.09, WOOD)
    pen.shape([(0.08, -0.9), (0.08, 0.2), (0.8, 0.2)], (250, 250, 250))
    pen.shape([(-0.08, -0.7), (-0.08, 0.2), (-0.6, 0.2)], (235, 235, 240))
    pen.shape([(-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)])


def _fish(pen: Pen) -> None:
    pen.shape([(0.4, 0), (0.98, -0.5), (0.85, 0), (0.98, 0.5)])
    pen.shape([(-0.2, -0.4), (0.15, -0.8), (0.3, -0.3)])
    pen.blob(-0.15, 0, 0.78, 0.48)
    pen.blob(-0.55, -0.1, 0.12, fill=(255, 255, 255))
    pen.blob(-0.57, -0.1, 0.05, fill=INK)


def _bird(pen: Pen) -> None:
    pen.shape([(0.35, 0.1), (1.0, -0.2), (0.9, 0.3)])
    pen.blob(0.05, 0.15, 0.6, 0.42)
    pen.blob(-0.5, -0.25, 0.32)
    pen.shape([(-0.78, -0.32), (-1.0, -0.15), (-0.75, -0.12)], (250, 170, 40))
    pen.shape([(-0.15, 0.05), (0.5, -0.1), (0.3, 0.4)], pen.light)
    pen.blob(-0.56, -0.32, 0.06, fill=INK)
    for leg in (0.0, 0.2):
        pen.line([(leg, 0.55), (leg, 0.85)], 0.07, (230, 150, 40))


def _flower(pen: Pen) -> None:
    pen.line([(0, 0), (0, 1.0)], 0.12, LEAF)
    pen.blob(0.25, 0.65, 0.24, 0.1, LEAF)
    for petal in range(6):
        turn = math.tau * petal / 6
        pen.blob(0.4 * math.cos(turn), -0.35 + 0.4 * math.sin(turn), 0.28)
    pen.blob(0, -0.35, 0.22, fill=(255, 225, 90) if pen.colour != COLOURS["yellow"] else WOOD)


def _cup(pen: Pen) -> None:
    pen.line(_arc(0.55, 0.0, 0.33, -80, 80), 0.16, pen.dark)
    pen.shape([(-0.7, -0.55), (0.6, -0.55), (0.5, 0.75), (-0.6, 0.75)])
    pen.blob(-0.05, -0.55, 0.65, 0.16, (110, 70, 40))


def _kite(pen: Pen) -> None:
    pen.line([(0, 0.5), (0.15, 0.7), (-0.1, 0.85), (0.1, 1.0)], 0.07, INK)
    pen.shape([(0, -1.0), (0.62, -0.3), (0, 0.55), (-0.62, -0.3)])
    pen.line([(0, -0.95), (0, 0.5)], 0.06, pen.light)
    pen.line([(-0.58, -0.3), (0.58, -0.3)], 0.06, pen.light)


def _moon(pen: Pen) -> None:
    pen.shape([*_arc(0, 0, 0.92, 60, 300, 24), *reversed(_arc(0.42, 0, 0.8, 92, 268, 20))])


def _sun(pen: Pen) -> None:
    pen.shape(_ring(1.0, 0.62, 12))
    pen.blob(0, 0, 0.6, fill=pen.light)


def _cloud(pen: Pen) -> None:
    for x, y, reach in ((-0.55, 0.12, 0.4), (0.55, 0.12, 0.4), (-0.15, -0.2, 0.48), (0.3, -0.1, 0.4)):
        pen.blob(x, y, reach)
    for x, y, reach in ((-0.55, 0.12, 0.35), (0.55, 0.12, 0.35), (-0.1, 0.1, 0.45), (0.3, 0, 0.4)):
        pen.blob(x, y, reach, outline=False)


def _hat(pen: Pen) -> None:
    pen.blob(0, 0.45, 0.98, 0.28)
    pen.shape([(-0.5, 0.4), (-0.42, -0.7), (0.42, -0.7), (0.5, 0.4)])
    pen.shape([(-0.5, 0.4), (-0.48, 0.1), (0.48, 0.1), (0.5, 0.4)], pen.dark)


def _book(pen: Pen) -> None:
    pen.shape([(0, -0.45), (-0.95, -0.65), (-0.95, 0.55), (0, 0.75)])
    pen.shape([(0, -0.45), (0.95, -0.65), (0.95, 0.55), (0, 0.75)])
    pen.shape([(0, -0.35), (-0.8, -0.53), (-0.8, 0.42), (0, 0.6)], (252, 250, 240))
    pen.shape([(0, -0.35), (0.8, -0.53), (0.8, 0.42), (0, 0.6)], (252, 250, 240))
    for height in (-0.2, 0.0, 0.2):
        pen.line([(-0.65, height - 0.08), (-0.15, height + 0.02)], 0.05, (170, 170, 175))
        pen.line([(0.65, height - 0.08), (0.15, height + 0.02)], 0.05, (170, 170, 175))


def _umbrella(pen: Pen) -> None:
    pen.line([(0, -0.9), (0, 0.75), (0.08, 0.9), (0.24, 0.9), (0.32, 0.72)], 0.1, INK)
    pen.shape(_arc(0, 0.05, 0.98, 180, 360, 20))
    pen.line([(0, -0.9), (-0.33, 0.03)], 0.06, pen.dark)
    pen.line([(0, -0.9), (0.33, 0.03)], 0.06, pen.dark)


def _mushroom(pen: Pen) -> None:
    pen.shape([(-0.25, 0.0), (0.25, 0.0), (0.35, 0.9), (-0.35, 0.9)], CREAM)
    pen.shape([*_arc(0, 0.1, 0.92, 180, 360, 20)])
    dots = COLOURS["red"] if pen.colour == COLOURS["white"] else (255, 255, 255)
    for x, y, reach in ((-0.45, -0.2, 0.15), (0.1, -0.5, 0.17), (0.5, -0.12, 0.14)):
        pen.blob(x, y, reach, fill=dots, outline=False)


def _balloon(pen: Pen) -> None:
    pen.line([(0, 0.4), (0.1, 0.6), (-0.08, 0.8), (0, 1.0)], 0.06, INK)
    pen.shape([(0, 0.3), (-0.14, 0.48), (0.14, 0.48)])
    pen.blob(0, -0.3, 0.6, 0.7)
    pen.blob(-0.22, -0.55, 0.13, 0.2, pen.light, outline=False)


def _apple(pen: Pen) -> None:
    pen.blob(-0.28, 0.15, 0.55, 0.66)
    pen.blob(0.28, 0.15, 0.55, 0.66)
    pen.blob(0, 0.18, 0.5, 0.58, outline=False)
    pen.line([(0, -0.4), (0.1, -0.85)], 0.12, WOOD)
    pen.blob(0.4, -0.72, 0.28, 0.14, LEAF)


def _cactus(pen: Pen) -> None:
    for points in ([(-0.6, -0.35), (-0.6, 0.2), (0, 0.2)], [(0.6, -0.55), (0.6, 0.0), (0, 0.0)]):
        pen.line(points, 0.34, pen.dark)
        pen.line(points, 0.24)
    pen.shape([*_arc(0, -0.65, 0.28, 180, 360), (0.28, 1.0), (-0.28, 1.0)])
    for rib in (-0.1, 0.1):
        pen.line([(rib, -0.7), (rib, 0.95)], 0.05, pen.dark)


def _rocket(pen: Pen) -> None:
    pen.shape([(-0.2, 0.55), (0, 1.0), (0.2, 0.55)], (255, 160, 40))
    pen.shape([(-0.3, 0.1), (-0.65, 0.65), (-0.3, 0.55)], pen.dark)
    pen.shape([(0.3, 0.1), (0.65, 0.65), (0.3, 0.55)], pen.dark)
    pen.shape([(0, -1.0), (0.28, -0.55), (0.32, 0.6), (-0.32, 0.6), (-0.28, -0.55)])
    pen.blob(0, -0.2, 0.17, fill=GLASS)


def _key(pen: Pen) -> None:
    for colour, extra in ((pen.dark, 0.1), (pen.colour, 0.0)):
        pen.line([*_arc(-0.55, 0, 0.32, 0, 360, 20)], 0.2 + extra, colour)
        pen.line([(-0.2, 0), (0.92, 0)], 0.2 + extra, colour)
        for tooth in (0.5, 0.8):
            pen.line([(tooth, 0), (tooth, 0.36)], 0.18 + extra, colour)


def _lamp(pen: Pen) -> None:
    pen.line([(0, -0.1), (0, 0.8)], 0.14, INK)
    pen.blob(0, 0.85, 0.45, 0.13, INK)
    pen.shape([(-0.38, -0.9), (0.38, -0.9), (0.75, 0.05), (-0.75, 0.05)])


def _butterfly(pen: Pen) -> None:
    for side in (-1, 1):
        pen.blob(side * 0.5, -0.3, 0.45, 0.48)
        pen.blob(side * 0.4, 0.42, 0.34, 0.36)
        pen.blob(side * 0.52, -0.32, 0.18, fill=pen.light, outline=False)
        pen.line([(0, -0.55), (side * 0.25, -0.95)], 0.06, INK)
    pen.blob(0, 0, 0.1, 0.6, INK)


def _cat(pen: Pen) -> None:
    pen.line([*_arc(0.65, 0.3, 0.3, 90, -60)], 0.16, pen.dark)
    pen.blob(0.15, 0.5, 0.55, 0.45)
    for side in (-1, 1):
        pen.shape([(-0.2 + side * 0.45, -0.3), (-0.2 + side * 0.42, -0.98), (-0.2 + side * 0.08, -0.6)])
    pen.blob(-0.2, -0.25, 0.52, 0.45)
    for side in (-1, 1):
        pen.blob(-0.2 + side * 0.2, -0.32, 0.09, 0.11, (190, 240, 120))
        pen.blob(-0.2 + side * 0.2, -0.32, 0.04, 0.09, INK, outline=False)
    pen.shape([(-0.27, -0.15), (-0.13, -0.15), (-0.2, -0.06)], (250, 150, 160))


def _bell(pen: Pen) -> None:
    pen.blob(0, 0.72, 0.2, fill=pen.dark)
    pen.blob(0, -0.82, 0.14)
    pen.shape([*_arc(0, -0.3, 0.48, 180, 360), (0.55, 0.3), (0.85, 0.62), (-0.85, 0.62), (-0.55, 0.3)])
    pen.line([(-0.55, 0.3), (0.55, 0.3)], 0.08, pen.dark)


def _chair(pen: Pen) -> None:
    for x, top, bottom in ((-0.5, 0.1, 0.95), (0.5, 0.1, 0.95), (-0.3, 0.1, 0.75), (0.3, 0.1, 0.75)):
        pen.line([(x, top), (x, bottom)], 0.14, pen.dark)
    pen.box(-0.5, -0.95, 0.5, 0.0)
    pen.box(-0.25, -0.75, 0.25, -0.2, pen.light)
    pen.shape([(-0.5, 0.0), (0.5, 0.0), (0.65, 0.3), (-0.65, 0.3)])


def _leaf(pen: Pen) -> None:
    upper, lower = _arc(0, 0.55, 1.05, 205, 335), _arc(0, -0.55, 1.05, 25, 155)
    pen.shape([*upper, *lower])
    pen.line([(-1.0, 0), (0.7, 0)], 0.08, pen.dark)
    for x in (-0.4, 0.0, 0.4):
        pen.line([(x - 0.1, 0), (x + 0.12, -0.28)], 0.05, pen.dark)
        pen.line([(x - 0.1, 0), (x + 0.12, 0.28)], 0.05, pen.dark)


THINGS: dict[str, Callable[[Pen], None]] = {
    "apple": _apple,
    "ball": _ball,
    "balloon": _balloon,
    "bell": _bell,
    "bird": _bird,
    "boat": _boat,
    "book": _book,
    "box": _box,
    "butterfly": _butterfly,
    "cactus": _cactus,
    "car": _car,
    "cat": _cat,
    "chair": _chair,
    "cloud": _cloud,
    "cup": _cup,
    "fish": _fish,
    "flower": _flower,
    "hat": _hat,
    "heart": _heart,
    "house": _house,
    "key": _key,
    "kite": _kite,
    "lamp": _lamp,
    "leaf": _leaf,
    "moon": _moon,
    "mushroom": _mushroom,
    "rocket": _rocket,
    "star": _star,
    "sun": _sun,
    "tree": _tree,
    "umbrella": _umbrella,
}
