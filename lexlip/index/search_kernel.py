"""The search of one shard: bound, seed, collect, then score blocks by falling bound until none can matter.

1. Bounds of all groups of 512 documents (`bounds.py`).
2. The few groups with the highest bounds are opened: their blocks are bounded, and those that can reach the k-th score
   become candidates, of which the best are scored. Then groups in the upper half between the k-th score and the highest
   bound are opened alike, and at last all others that can reach the k-th score. Where many blocks of a word of
   64 are left, they are not collected but scored at once (`sweeping.py`).
3. What is left of the candidates is scored by falling bound, eight blocks at a time: locate their postings and ask for
   them, then add them up. Lists with most of the bound come first; few blocks can matter after that and get the others.

A group or block is passed over only when its bound is below the k-th score, so the result is that of scoring
everything, ties included.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from typing import NamedTuple

import numpy as np

from lexlip.index.bounds import add_gap_lists, bound_groups
from lexlip.index.kernel import kernel, lean_kernel
from lexlip.index.opening import highest_bound, next_groups, open_groups, take_seeds
from lexlip.index.plan import empty_plan, make_plan
from lexlip.index.ranking import key_position, key_score, make_heap, take_highest
from lexlip.index.sweeping import sweep_dense_words
from lexlip.index.waves import bound_to_reach, order_lists, score_wave
from lexlip.index.workspace import WAVE, make_workspace

_SEED_GROUPS = 4  # groups opened before the others are judged, and one more for every 16 hits wanted


class Geometry(NamedTuple):
    """What the kernels know of a shard; offsets are bytes in the postings file.

    Attributes:
        documents, blocks, groups: of the shard; groups are padded.
        impact_bits: bits of an impact.
        vocabulary_terms: term ids are below it.
        id_map: offset of the positions, 3 bytes a document.
        directory, table, lists: offsets of these sections.
    """

    documents: int
    blocks: int
    groups: int
    impact_bits: int
    vocabulary_terms: int
    id_map: int
    directory: int
    table: int
    lists: int


@lean_kernel
def search_lists(plan, gap_lists, positive, lists, scale, geometry, data, slice_bits, live, work):
    """Finds the k best documents of a planned query.

    Args:
        plan, gap_lists, positive, lists, scale: from `make_plan`.
        geometry, data, slice_bits: of the shard.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        work: fresh; its heap of the best becomes the result.
    """
    groups = geometry.groups
    group_bounds, candidates, wave, best = work.group_bounds, work.candidates, work.wave, work.best
    add_gap_lists(plan, gap_lists, data, groups, work.block_bounds)
    bound_groups(plan, gap_lists, positive, data, groups, work.block_bounds, group_bounds)
    first_part = order_lists(plan, positive, lists, work)
    count = np.int64(0)
    seeds = _SEED_GROUPS + best.size // 16
    sweep = 0
    bar = np.int64(1)
    cursor = groups
    while True:
        threshold = bound_to_reach(best, scale)
        if seeds > 0:
            opened = take_seeds(group_bounds, wave, min(WAVE, seeds))
            seeds -= WAVE
        else:
            if cursor >= groups and sweep < 2:
                sweep += 1
                cursor = np.int64(0)
                bar = (threshold + highest_bound(group_bounds)) >> 1 if sweep == 1 else np.int64(1)
                count = sweep_dense_words(
                    plan, gap_lists, positive, first_part, geometry, data, slice_bits, live, scale, bar, work, count
                )
                threshold = bound_to_reach(best, scale)
            opened, cursor = next_groups(group_bounds, cursor, max(bar, threshold), wave)
        count = open_groups(plan, gap_lists, positive, opened, geometry, data, live, threshold, work, count)
        if sweep == 2 and cursor < groups:
            continue
        scored = np.int64(0)
        while scored < WAVE and count > 0 and (candidates[0] >> 32) >= threshold:
            wave[scored] = take_highest(candidates, count)
            count -= 1
            scored += 1
        if scored == 0 and sweep == 2:
            return
        score_wave(plan, first_part, scored, geometry, data, slice_bits, live, scale, work)


@kernel
def search_shard(geometry, data, slice_bits, checked, live, terms, weights, k, positions, scores):
    """Searches one shard for one query.

    Args:
        geometry: of the shard.
        data: [bytes] uint8 read-only, the postings file.
        slice_bits: [16] uint16 bits by count code.
        checked: [lists] uint8, which lists were compared with their checksum; updated.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        terms: [n] int64 distinct term ids.
        weights: [n] int64 in whole units, not 0.
        k: how many hits at most.
        positions: [k] int64, the result, best first.
        scores: [k] int64, the result in query units x impacts.

    Returns:
        the number of hits, or -1 - (number of a damaged list).
    """
    plan = empty_plan(terms.size)
    records = np.empty(terms.size, np.int64)
    gap_lists, positive, lists, scale = make_plan(plan, data, geometry, checked, terms, weights, records)
    if gap_lists < 0:
        return -1 - positive
    if positive == 0:
        return np.int64(0)
    work = make_workspace(geometry.groups, lists, k)
    search_lists(plan, gap_lists, positive, lists, scale, geometry, data, slice_bits, live, work)
    best = work.best
    make_heap(best, k)
    hits = np.int64(0)
    while hits < k and best[0] > 0:
        key = take_highest(best, k - hits)
        positions[hits] = key_position(key)
        scores[hits] = key_score(key)
        hits += 1
    return hits
