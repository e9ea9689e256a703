"""The entry into the engine: checks and quantises queries and searches one shard for them, without the interpreter.

Scores are sums of whole numbers, so that equal documents tie exactly and no bound is lost to rounding. The unit of a
query's weights is a
power of two, as fine as 31 bits allow if every term had the highest impact: 2^-23 of the sum of the weights, rounded
up to a power of two.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import math

import numpy as np

from lexlip.index.kernel import kernel, lean_kernel
from lexlip.index.ranking import make_heap, take_highest
from lexlip.index.search_kernel import Geometry, search_shard

UNIT_BITS = 23  # 2^23 units x 255, the highest impact, stay below 2^31
DAMAGED = -2  # results below it name a damaged list
REFUSED = -1  # the query is unsuitable; `query.explain_refusal` says why


@lean_kernel
def quantise_query(terms, weights, vocabulary_terms, units):
    """Turns query weights into whole numbers.

    Args:
        terms: [n] int64.
        weights: [n] float64.
        vocabulary_terms: term ids are below it.
        units: [n] int64, the result.

    Returns:
        whether the query is suitable, and the weight of one unit.
    """
    total = 0.0
    for place in range(terms.size):
        if not 0 <= terms[place] < vocabulary_terms or not math.isfinite(weights[place]) or weights[place] == 0.0:
            return False, 0.0
        total += abs(weights[place])
    for place in range(terms.size):
        units[place] = terms[place]
    make_heap(units, terms.size)
    before = np.int64(-1)
    for left in range(terms.size, 0, -1):
        term = take_highest(units, left)
        if term == before:
            return False, 0.0
        before = term
    if not math.isfinite(total):
        return False, 0.0
    _, exponent = math.frexp(total)
    unit = math.ldexp(1.0, exponent - UNIT_BITS)
    if unit == 0.0:
        return False, 0.0
    for place in range(terms.size):
        whole = np.int64(np.rint(math.ldexp(weights[place], UNIT_BITS - exponent)))
        if whole == 0:  # a term counts, however light
            whole = np.int64(1) if weights[place] > 0 else np.int64(-1)
        units[place] = whole
    return True, unit


@kernel
def answer_queries(
    geometry_values,
    data,
    slice_bits,
    checked,
    live,
    step,
    starts,
    terms,
    weights,
    k,
    first,
    last,
    positions,
    scores,
    counts,
):
    """Searches one shard for queries [first, last).

    Args:
        geometry_values: [9] int64, the fields of `Geometry`; one array passes faster from Python than nine numbers.
        data, slice_bits, checked, live: of the shard, see `search_kernel.search_shard`.
        step: the weight of one impact unit.
        starts: [queries + 1] int64, where a query begins in `terms` and `weights`.
        terms: [all terms] int64.
        weights: [all terms] float64.
        k: how many hits at most.
        first, last: which queries.
        positions: [queries, k] int64, the result, best first.
        scores: [queries, k] float64, the result.
        counts: [queries] int64, the result: number of hits; REFUSED; or DAMAGED - (number of the list).
    """
    geometry = Geometry(
        geometry_values[0],
        geometry_values[1],
        geometry_values[2],
        geometry_values[3],
        geometry_values[4],
        geometry_values[5],
        geometry_values[6],
        geometry_values[7],
        geometry_values[8],
    )
    units = np.empty(terms.size, np.int64)
    whole_scores = np.empty(k, np.int64)
    for query in range(first, last):
        begin, end = starts[query], starts[query + 1]
        suitable, unit = quantise_query(
            terms[begin:end], weights[begin:end], geometry.vocabulary_terms, units[begin:end]
        )
        if not suitable:
            counts[query] = REFUSED
            continue
        found = search_shard(
            geometry,
            data,
            slice_bits,
            checked,
            live,
            terms[begin:end],
            units[begin:end],
            k,
            positions[query],
            whole_scores,
        )
        if found < 0:
            counts[query] = DAMAGED - (-1 - found)
            continue
        for hit in range(found):
            scores[query, hit] = whole_scores[hit] * (unit * step)
        counts[query] = found
