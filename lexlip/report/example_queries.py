"""The section of the page with queries and what both systems answered."""

import base64
from collections.abc import Sequence
from html import escape

from lexlip.report.results import ExampleHit, ExampleQuery

SHOWN_WORDS = 5


def examples_section(examples: Sequence[ExampleQuery]) -> str:
    """Queries with the answers of both; nothing when there are none."""
    if not examples:
        return ""
    blocks = []
    for example in examples:
        sides = [
            f'<div class="side"><span class="quiet">{name}</span><div class="hits">'
            f"{''.join(_hit(hit) for hit in hits)}</div></div>"
            for name, hits in (("LexLIP", example.lexlip), ("CLIP", example.clip))
        ]
        asked = f"<h3>{escape(example.text)}</h3>"
        if example.thumbnail is not None:
            asked = f'<div class="asked">{_picture(example.thumbnail, example.text)}</div>'
        blocks.append(f'<div class="query">{asked}{"".join(sides)}</div>')
    lead = (
        "<p>Right answers are outlined. Below LexLIP's answers stand the words that made the score, each with its "
        "share of it. Grey tiles are drawn documents, of which there is no picture. Queries were drawn at random, hits "
        "and misses of both alike.</p>"
    )
    return f"<h2>Queries and answers</h2>{lead}{''.join(blocks)}"


def _hit(hit: ExampleHit) -> str:
    if hit.caption is not None:
        shown = f'<div class="caption">{escape(hit.caption)}</div>'
    elif hit.thumbnail is not None:
        shown = _picture(hit.thumbnail, hit.id)
    else:
        shown = f'<div class="missing" title="{escape(hit.id)}">{escape(hit.id)}</div>'
    words = "".join(f"<span>{escape(word)} <em>{share:.0%}</em></span>" for word, share in hit.words[:SHOWN_WORDS])
    below = f'<div class="words">{words}</div>' if words else ""
    return f'<div class="hit{" right" if hit.right else ""}">{shown}{below}</div>'


def _picture(jpeg: bytes, name: str) -> str:
    data = base64.b64encode(jpeg).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(name)}" title="{escape(name)}">'
