"""Runs and judgements in the text formats of TREC, for `trec_eval`, `ir_measures`, `ranx` and others.

In these programs our recall at k is `Success@k`: whether one of the right answers is among the first k. They order by
score and break ties by document id, whatever the line says, so a run is written with strictly falling scores.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import numpy as np


def run_lines(
    queries: Sequence[str],
    documents: Sequence[str],
    hits: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    tag: str,
) -> str:
    """A run: lines `query Q0 document rank score tag`, the answers of a query best first.

    Args:
        queries: Q ids.
        documents: ids by position.
        hits: for each query the positions returned, best first.
        scores: for each query their scores, not rising.
        tag: name of the run.
    """
    return "".join(
        f"{trec_id(query)} Q0 {trec_id(documents[position])} {rank} {score!r} {trec_id(tag)}\n"
        for query, positions, values in zip(queries, hits, scores, strict=True)
        for rank, (position, score) in enumerate(
            zip(positions.tolist(), _strictly_falling(values), strict=True), start=1
        )
    )


def judgement_lines(queries: Sequence[str], documents: Sequence[str], right: Sequence[np.ndarray]) -> str:
    """Judgements (qrels): a line `query 0 document 1` for every right answer."""
    return "".join(
        f"{trec_id(query)} 0 {trec_id(documents[position])} 1\n"
        for query, positions in zip(queries, right, strict=True)
        for position in positions.tolist()
    )


def trec_id(name: str) -> str:
    """An id without blanks, which separate the fields: they become %20 and the like; a per cent sign %25."""
    return re.sub(r"[\s%]", lambda found: quote(found.group()), name)


def _strictly_falling(scores: np.ndarray) -> Iterator[float]:
    """Scores as float32, which is what trec_eval keeps, each below the one before."""
    last = np.float32(np.inf)
    for score in np.asarray(scores, np.float32):
        last = min(score, np.nextafter(last, np.float32(-np.inf)))
        yield float(last)
