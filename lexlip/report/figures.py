"""Figures as inline SVG. Colours are CSS variables of the page, so that they follow its light or dark scheme."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
LABEL_WIDTH = 262
VALUE_WIDTH = 84
ROW_HEIGHT = 26
BAR_HEIGHT = 14
GROUP_GAP = 12


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
                svg_text(LABEL_WIDTH - 12, middle, bar.label, "label", "end"),
                f'<rect class="{bar.series}" x="{LABEL_WIDTH}" y="{middle - BAR_HEIGHT / 2:.1f}" '
                f'width="{length:.1f}" height="{BAR_HEIGHT}" rx="2"/>',
                svg_text(LABEL_WIDTH + length + 8, middle, bar.text, "value", "start"),
            ]
            top += ROW_HEIGHT
        top += GROUP_GAP
    return figure(shapes, top - GROUP_GAP, caption)


def figure(shapes: Sequence[str], height: float, caption: str) -> str:
    """Shapes as a figure with its caption."""
    drawing = (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">{"".join(shapes)}</svg>'
    )
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def svg_text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    """A text whose middle is at height y."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dy="0.35em">{escape(text)}</text>'
