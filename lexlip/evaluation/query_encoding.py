"""What it takes to make a query's vector: by the text tower, and by a query lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lexlip.evaluation.timing import TimedSystem, time_interleaved

if TYPE_CHECKING:
    from lexlip.model.lexlip import LexLIP
    from lexlip.model.query_lookup import QueryLookup

TIMED_TEXTS = 200
ROUNDS = 5


@dataclass(frozen=True)
class QueryEncoding:
    """Microseconds a text, one text at a time.

    Attributes:
        tower_p50_us, tower_p99_us: by the text tower, with as many threads as torch takes.
        lookup_p50_us, lookup_p99_us: by the query lookup.
        texts: how many different ones were timed.
    """

    tower_p50_us: float
    tower_p99_us: float
    lookup_p50_us: float
    lookup_p99_us: float
    texts: int

    def to_json(self) -> dict[str, float]:
        """The figures and `tower_over_lookup`, the ratio of the medians."""
        return asdict(self) | {"tower_over_lookup": round(self.tower_p50_us / self.lookup_p50_us, 1)}


def time_query_encoding(
    model: LexLIP, lookup: QueryLookup, texts: Sequence[str], top_terms: int | None
) -> QueryEncoding:
    """Times both on the same texts in interleaved rounds."""
    asked = list(texts[:TIMED_TEXTS])

    def timed(encoder: LexLIP | QueryLookup) -> TimedSystem:
        return TimedSystem(lambda first, last: encoder.encode_text(asked[first:last], top_terms=top_terms))

    tower, table = time_interleaved([timed(model), timed(lookup)], len(asked), ROUNDS)
    return QueryEncoding(tower.p50_us, tower.p99_us, table.p50_us, table.p99_us, len(asked))
