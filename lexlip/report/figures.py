"""Figures as inline SVG. Colours are CSS variables of the page, so that they follow its light or dark scheme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
LABEL_WIDTH = 262
VALUE_WIDTH = 84
ROW_HEIGHT = 26
BAR_HEIGHT = 14
GROUP_GAP = 12
LABEL_HEIGHT = 15
AXIS_HEIGHT = 34


@dataclass(frozen=True)
class Bar:
    """A labelled value.

    Attributes:
        label: at its left.
        value: its length.
        text: at its right end.
        series: "lexlip" or "clip"; decides the colour.
    """

    label: str
    value: float
    text: str
    series: str


@dataclass(frozen=True)
class Span:
    """A labelled range with two marked ends, such as p50 and p99."""

    label: str
    low: float
    high: float
    text: str
    series: str


@dataclass(frozen=True)
class Point:
    """A labelled point of a scatter figure."""

    label: str
    x: float
    y: float
    series: str


def bars(groups: Sequence[Sequence[Bar]], caption: str) -> str:
    """Horizontal bars in groups, all on one linear scale that begins at zero."""
    longest = max((bar.value for group in groups for bar in group), default=0.0) or 1.0
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    shapes, top = [], 0.0
    for group in groups:
        for bar in group:
            length = max(room * bar.value / longest, 1.0)
            middle = top + ROW_HEIGHT / 2
            shapes += [
                _text(LABEL_WIDTH - 12, middle, bar.label, "label", "end"),
                f'<rect class="{bar.series}" x="{LABEL_WIDTH}" y="{middle - BAR_HEIGHT / 2:.1f}" '
                f'width="{length:.1f}" height="{BAR_HEIGHT}" rx="2"/>',
                _text(LABEL_WIDTH + length + 8, middle, bar.text, "value", "start"),
            ]
            top += ROW_HEIGHT
        top += GROUP_GAP
    return _figure(shapes, top - GROUP_GAP, caption)


def spans(rows: Sequence[Span], unit: str, caption: str) -> str:
    """Ranges on one logarithmic scale: a filled dot at the low end, an open one at the high end."""
    low = _floor_decade(min(row.low for row in rows))
    high = _ceiling_decade(max(row.high for row in rows))
    left, right = LABEL_WIDTH, WIDTH - VALUE_WIDTH

    def place(value: float) -> float:
        return left + (right - left) * (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))

    bottom = len(rows) * ROW_HEIGHT
    shapes = [shape for tick in _decades(low, high) for shape in _vertical_tick(place(tick), bottom, _number(tick))]
    for number, row in enumerate(rows):
        middle = (number + 0.5) * ROW_HEIGHT
        shapes += [
            _text(LABEL_WIDTH - 12, middle, row.label, "label", "end"),
            f'<line class="{row.series} span" x1="{place(row.low):.1f}" x2="{place(row.high):.1f}" '
            f'y1="{middle}" y2="{middle}"/>',
            f'<circle class="{row.series}" cx="{place(row.low):.1f}" cy="{middle}" r="5"/>',
            f'<circle class="{row.series} open" cx="{place(row.high):.1f}" cy="{middle}" r="4.5"/>',
            _text(place(row.high) + 10, middle, row.text, "value", "start"),
        ]
    shapes.append(_text((left + right) / 2, bottom + AXIS_HEIGHT - 4, unit, "axis", "middle"))
    return _figure(shapes, bottom + AXIS_HEIGHT, caption)


def scatter(points: Sequence[Point], x_title: str, y_title: str, caption: str) -> str:
    """Points on a logarithmic x axis and a linear y axis that begins at zero."""
    low, high = _floor_decade(min(point.x for point in points)), _ceiling_decade(max(point.x for point in points))
    top_value = max(10.0, 10.0 * math.ceil(max(point.y for point in points) / 10.0))
    left, right, top, bottom = 56, WIDTH - 30, 14, 300

    def across(value: float) -> float:
        return left + (right - left) * (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))

    def up(value: float) -> float:
        return bottom - (bottom - top) * value / top_value

    shapes = [
        shape for tick in _decades(low, high) for shape in _vertical_tick(across(tick), bottom, _number(tick), top)
    ]
    for step in range(0, int(top_value) + 1, 20 if top_value > 50 else 10):
        shapes.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{up(step):.1f}" y2="{up(step):.1f}"/>')
        shapes.append(_text(left - 8, up(step), str(step), "axis", "end"))
    lowest_label = -math.inf
    for point in sorted(points, key=lambda point: -point.y):
        anchor, shift = ("end", -10) if across(point.x) > (left + right) * 0.6 else ("start", 10)
        # Labels stand below their points and give way downwards, so that close points stay readable.
        label_height = max(up(point.y) + 13, lowest_label + LABEL_HEIGHT)
        lowest_label = label_height
        shapes.append(f'<circle class="{point.series}" cx="{across(point.x):.1f}" cy="{up(point.y):.1f}" r="5.5"/>')
        shapes.append(_text(across(point.x) + shift, label_height, point.label, "value", anchor))
    shapes.append(_text((left + right) / 2, bottom + AXIS_HEIGHT - 2, x_title, "axis", "middle"))
    shapes.append(_text(left + 6, top + 2, y_title, "axis", "start"))
    return _figure(shapes, bottom + AXIS_HEIGHT + 4, caption)


def _figure(shapes: Sequence[str], height: float, caption: str) -> str:
    drawing = (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">{"".join(shapes)}</svg>'
    )
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dy="0.35em">{escape(text)}</text>'


def _vertical_tick(x: float, bottom: float, text: str, top: float = 0.0) -> list[str]:
    line = f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
    return [line, _text(x, bottom + 12, text, "axis", "middle")]


def _floor_decade(value: float) -> float:
    return 10.0 ** math.floor(math.log10(max(value, 1e-9)))


def _ceiling_decade(value: float) -> float:
    return 10.0 ** (math.floor(math.log10(max(value, 1e-9))) + 1)


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
