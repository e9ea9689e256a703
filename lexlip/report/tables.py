"""Tables as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Row:
    """One row; `series` ("lexlip", "clip" or "") colours its first cell."""

    series: str
    cells: Sequence[str]


def table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """A table that scrolls sideways by itself where the screen is narrow."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f'<tr class="{escape(row.series)}">{"".join(f"<td>{escape(cell)}</td>" for cell in row.cells)}</tr>'
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
