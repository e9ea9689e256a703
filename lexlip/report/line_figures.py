"""Figures with lines: what one gets for what one pays, and how costs grow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lexlip.report.figures import WIDTH, figure, svg_text

LEFT, RIGHT, TOP, BOTTOM = 62, WIDTH - 150, 26, 320
LABEL_HEIGHT = 15
AXIS_HEIGHT = 40
MARGIN = 0.06  # of a linear axis, beyond the outermost values
TICKS = 7
MARKS = ("circle", "square", "diamond", "triangle")
TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Line:
    """A line with marks, and points beside it.

    Attributes:
        label: at its right end.
        series: decides colour and mark: the CSS class.
        points: (x, y) along the line, by rising x.
        others: (x, y, title) that are not on the line, drawn faintly.
        titles: of the points, shown when a pointer rests on them.
    """

    label: str
    series: str
    points: Sequence[tuple[float, float]]
    titles: Sequence[str]
    others: Sequence[tuple[float, float, str]] = ()


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: what it shows, with the unit.
        logarithmic: a power of ten a tick; otherwise linear, and then it need not begin at zero.
    """

    title: str
    logarithmic: bool = True


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    logarithmic: bool
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], axis: Axis, begin: float, end: float) -> "Scale":
        """A scale on which all values have a place."""
        low, high = min(values), max(values)
        if axis.logarithmic:
            floor = math.floor(math.log10(max(low, 1e-9)))
            return cls(10.0**floor, 10.0 ** max(math.ceil(math.log10(max(high, 1e-9))), floor + 1), True, begin, end)
        room = max(high - low, 1.0) * MARGIN
        return cls(max(low - room, 0.0), high + room, False, begin, end)

    def place(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(max(value, 1e-9)), math.log10(low), math.log10(high)
        return self.begin + (self.end - self.begin) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Powers of ten, or about seven round values."""
        if self.logarithmic:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**power for power in powers]
        wanted = (self.high - self.low) / TICKS
        decade = 10.0 ** math.floor(math.log10(wanted))
        step = next(step * decade for step in TICK_STEPS if step * decade >= wanted * 0.999)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def lines(found: Sequence[Line], x_axis: Axis, y_axis: Axis, caption: str) -> str:
    """Lines over two axes, each named at its right end."""
    every = [point for line in found for point in [*line.points, *[(x, y) for x, y, _ in line.others]]]
    across = Scale.over([x for x, _ in every], x_axis, LEFT, RIGHT)
    up = Scale.over([y for _, y in every], y_axis, BOTTOM, TOP)
    shapes = _grid(across, up)
    for line in found:
        shapes += [_mark(line.series, across.place(x), up.place(y), title, faint=True) for x, y, title in line.others]
    for line in found:
        places = [(across.place(x), up.place(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        shapes.append(f'<polyline class="line {line.series}" points="{path}"/>')
        shapes += [
            _mark(line.series, x, y, title, faint=False) for (x, y), title in zip(places, line.titles, strict=True)
        ]
    shapes += _labels(found, across, up)
    shapes.append(svg_text((LEFT + RIGHT) / 2, BOTTOM + AXIS_HEIGHT - 6, x_axis.title, "axis", "middle"))
    shapes.append(svg_text(LEFT - 46, TOP - 16, y_axis.title, "axis", "start"))
    return figure(shapes, BOTTOM + AXIS_HEIGHT, caption)


def _grid(across: Scale, up: Scale) -> list[str]:
    shapes = []
    for tick in across.ticks():
        x = across.place(tick)
        shapes.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>')
        shapes.append(svg_text(x, BOTTOM + 12, number(tick), "axis", "middle"))
    for tick in up.ticks():
        y = up.place(tick)
        shapes.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shapes.append(svg_text(LEFT - 8, y, number(tick), "axis", "end"))
    return shapes


def _labels(found: Sequence[Line], across: Scale, up: Scale) -> list[str]:
    """Names in the right margin, pushed apart downwards, each joined to the end of its line."""
    shapes, lowest = [], -math.inf
    ends = sorted(((up.place(line.points[-1][1]), line) for line in found), key=lambda entry: entry[0])
    room = BOTTOM - LABEL_HEIGHT * (len(ends) - 1)
    for place, (height, line) in enumerate(ends):
        y = max(min(height, room + place * LABEL_HEIGHT), lowest + LABEL_HEIGHT)
        lowest = y
        x = across.place(line.points[-1][0])
        shapes.append(
            f'<line class="leader" x1="{x + 6:.1f}" y1="{height:.1f}" x2="{RIGHT + 14}" y2="{y:.1f}"/>'
            + svg_text(RIGHT + 18, y, line.label, f"value name {line.series}", "start")
        )
    return shapes


def _mark(series: str, x: float, y: float, title: str, *, faint: bool) -> str:
    size = 2.6 if faint else 4.4
    kind = MARKS[sum(series.encode()) % len(MARKS)]
    if kind == "circle":
        shape = f'circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"'
    elif kind == "square":
        shape = f'rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"'
    else:
        corners = ((0, -1.3), (1.2, 1), (-1.2, 1)) if kind == "triangle" else ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0))
        path = " ".join(f"{x + size * right:.1f},{y + size * down:.1f}" for right, down in corners)
        shape = f'polygon points="{path}"'
    return (
        f'<{shape} class="mark {series}{" faint" if faint else ""}"><title>{escape(title)}</title></{shape.split()[0]}>'
    )


def number(value: float) -> str:
    """A tick: 1,000,000 as 1M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
