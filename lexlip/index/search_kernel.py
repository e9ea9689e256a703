"""The search of one shard: bound, seed, collect, then score blocks by falling bound until none can matter.

1. Bounds of all groups of 512 documents (`bounds.py`).
2. Groups are opened by falling bound, a few at a time: their blocks are bounded, and those that can reach the k-th
score so far become
   candidates.
3. After each opening the best candidates are scored, which raises the k-th score: locate all their postings and ask
for them, then add up.

A block is passed over only when its bound is below the k-th score, so the result is that of scoring everything, ties
included.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from typing import NamedTuple

import numpy as np

from lexlip.index.bits import load_u16, load_u32, load_u64, prefetch
from lexlip.index.bounds import add_gap_lists, bound_blocks, bound_groups
from lexlip.index.kernel import kernel
from lexlip.index.layout import (
    BLOCK_DOCUMENTS,
    BLOCK_SHIFT,
    GAP_RECORD_BYTES,
    GROUP_BLOCKS,
    POSITION_BYTES,
    ROW_LIST,
    ROW_RECORD_BYTES,
)
from lexlip.index.locating import locate_in_gap_list, locate_in_row_list
from lexlip.index.plan import empty_plan, make_plan
from lexlip.index.ranking import add_key, hit_key, key_position, key_score, make_heap, replace_lowest, take_highest
from lexlip.index.scoring import add_postings

_WAVE = 8  # groups opened, and blocks scored, at a time: enough for their loads to overlap
_SEED_GROUPS = 4  # groups opened before the others are put in order, and one more for every 16 hits wanted
_BLOCK_MASK = 0xFFFFFFFF


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


@kernel
def _offer_block(scores, block, geometry, data, live, best):
    """Offers the documents of a block to the k best."""
    lowest = np.int32(key_score(best[0]))
    top = scores[0]
    for document in range(1, BLOCK_DOCUMENTS):
        top = max(top, scores[document])
    if top < lowest or top <= 0:
        return
    for document in range(BLOCK_DOCUMENTS):
        score = scores[document]
        if score < lowest or score <= 0:
            continue
        if live.size > 0 and (live[block] >> np.uint64(document)) & np.uint64(1) == np.uint64(0):
            continue
        number = (block << BLOCK_SHIFT) + document
        position = np.int64(load_u32(data, geometry.id_map + number * POSITION_BYTES) & np.uint64(0xFFFFFF))
        key = hit_key(score, position)
        if key > best[0]:
            replace_lowest(best, key)
            lowest = np.int32(key_score(best[0]))


@kernel
def _ask_for_wave(plan, lists, wave, size, geometry, data):
    """Prefetches what `_score_wave` reads first: the records of all lists for the blocks, then the gaps they point
    to.
    """
    for slot in range(lists):
        records = plan.records[slot]
        if plan.shift[slot] == ROW_LIST:
            for turn in range(size):
                prefetch(data, records + ((wave[turn] & _BLOCK_MASK) >> 6) * ROW_RECORD_BYTES)
        else:
            for turn in range(size):
                prefetch(data, records + ((wave[turn] & _BLOCK_MASK) >> plan.shift[slot]) * GAP_RECORD_BYTES)
    for turn in range(size):
        first = geometry.id_map + ((wave[turn] & _BLOCK_MASK) << BLOCK_SHIFT) * POSITION_BYTES
        for line in range(0, BLOCK_DOCUMENTS * POSITION_BYTES, 64):
            prefetch(data, first + line)
    for slot in range(lists):
        if plan.shift[slot] != ROW_LIST:
            for turn in range(size):
                record = plan.records[slot] + ((wave[turn] & _BLOCK_MASK) >> plan.shift[slot]) * GAP_RECORD_BYTES
                entry = np.int64((load_u64(data, record) >> np.uint64(32)) & np.uint64(0xFFFF))
                prefetch(data, plan.gaps[slot] + entry)
                prefetch(data, plan.marks[slot] + entry)


@kernel
def _score_wave(plan, lists, wave, size, geometry, data, slice_bits, live, scale, bits, codes, scores, best):
    """Scores up to 8 blocks.

    Args:
        plan, lists: the query's lists and their number.
        wave, size: [8] int64 keys (bound, block) by falling bound, and how many.
        geometry, data, slice_bits: of the shard.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        scale: bound units per score unit.
        bits, codes: [8, lists] int64, room for what is located.
        scores: [64] int32, room.
        best: [k] int64 heap of the best keys, updated.
    """
    _ask_for_wave(plan, lists, wave, size, geometry, data)
    for slot in range(lists):
        if plan.shift[slot] == ROW_LIST:
            for turn in range(size):
                bit, code = locate_in_row_list(plan, slot, data, slice_bits, wave[turn] & _BLOCK_MASK)
                bits[turn, slot], codes[turn, slot] = bit, code
                prefetch(data, bit >> 3)
        else:
            for turn in range(size):
                bit, code = locate_in_gap_list(plan, slot, data, slice_bits, wave[turn] & _BLOCK_MASK)
                bits[turn, slot], codes[turn, slot] = bit, code
                prefetch(data, bit >> 3)
    for turn in range(size):
        if (wave[turn] >> 32) < np.int64(key_score(best[0]) * scale):
            return
        for document in range(BLOCK_DOCUMENTS):
            scores[document] = 0
        for slot in range(lists):
            if codes[turn, slot] > 0:
                add_postings(data, bits[turn, slot], codes[turn, slot], plan.weight[slot], geometry.impact_bits, scores)
        _offer_block(scores, wave[turn] & _BLOCK_MASK, geometry, data, live, best)


@kernel
def _take_seeds(group_bounds, seeds, wanted):
    """Moves up to `wanted` groups with the highest bounds from `group_bounds` (0 afterwards) to `seeds`; returns how
    many.
    """
    for size in range(wanted):
        top = group_bounds[0]
        for group in range(1, group_bounds.size):
            top = max(top, group_bounds[group])
        if top == 0:
            return np.int64(size)
        group = 0
        while group_bounds[group] != top:
            group += 1
        group_bounds[group] = 0
        seeds[size] = group
    return np.int64(wanted)


@kernel
def _open_groups(
    plan, gap_lists, positive, opened, size, geometry, data, block_bounds, live, threshold, candidates, count
):
    """Bounds the blocks of some groups and adds those that reach the threshold to the candidates.

    Args:
        plan, gap_lists, positive: from `make_plan`.
        opened, size: [8] int64 numbers of groups, and how many.
        geometry, data, block_bounds, live: as in `search_lists`.
        threshold: in bound units.
        candidates, count: heap of keys (bound, block), and how many.

    Returns:
        the new count of candidates.
    """
    for slot in range(gap_lists, positive):
        for turn in range(size):
            prefetch(data, plan.records[slot] + (opened[turn] >> 3) * ROW_RECORD_BYTES)
    for slot in range(gap_lists, positive):
        for turn in range(size):
            entry = load_u16(data, plan.records[slot] + (opened[turn] >> 3) * ROW_RECORD_BYTES + 12)
            prefetch(data, plan.marks[slot] + np.int64(entry))
    for turn in range(size):
        first_four, last_four = bound_blocks(
            plan, gap_lists, positive, data, geometry.groups, block_bounds, opened[turn]
        )
        for row in range(GROUP_BLOCKS):
            bound = np.int64(first_four & np.uint64(0xFFFF))
            first_four = (first_four >> np.uint64(16)) | (last_four << np.uint64(48))
            last_four >>= np.uint64(16)
            block = opened[turn] * GROUP_BLOCKS + row
            if bound >= threshold and (live.size == 0 or live[block] != np.uint64(0)):
                add_key(candidates, count, (bound << 32) | block)
                count += 1
    return count


@kernel
def search_lists(plan, gap_lists, positive, lists, scale, geometry, data, slice_bits, live, best):
    """Finds the k best documents of a planned query.

    Args:
        plan, gap_lists, positive, lists, scale: from `make_plan`.
        geometry, data, slice_bits: of the shard.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        best: [k] int64 zeros; becomes a heap of the keys of the hits.
    """
    groups = geometry.groups
    block_bounds = np.zeros(GROUP_BLOCKS * groups, np.uint16)
    group_bounds = np.empty(groups, np.uint16)
    add_gap_lists(plan, gap_lists, data, groups, block_bounds)
    bound_groups(plan, gap_lists, positive, data, groups, block_bounds, group_bounds)

    scores = np.empty(BLOCK_DOCUMENTS, np.int32)
    bits = np.empty((_WAVE, lists), np.int64)
    codes = np.empty((_WAVE, lists), np.int64)
    wave = np.empty(_WAVE, np.int64)
    candidates = np.empty(groups * GROUP_BLOCKS, np.int64)
    waiting = np.empty(groups + 1, np.int64)
    count = np.int64(0)
    unopened = np.int64(0)
    seeds = _SEED_GROUPS + best.size // 16
    while True:
        threshold = max(np.int64(1), np.int64(key_score(best[0]) * scale))
        if seeds > 0:
            opened = _take_seeds(group_bounds, wave, min(_WAVE, seeds))
        else:
            opened = np.int64(0)
            while opened < _WAVE and unopened > 0 and (waiting[0] >> 32) >= threshold:
                wave[opened] = take_highest(waiting, unopened) & _BLOCK_MASK
                unopened -= 1
                opened += 1
        count = _open_groups(
            plan, gap_lists, positive, wave, opened, geometry, data, block_bounds, live, threshold, candidates, count
        )
        scored = np.int64(0)
        while scored < _WAVE and count > 0 and (candidates[0] >> 32) >= threshold:
            wave[scored] = take_highest(candidates, count)
            count -= 1
            scored += 1
        if scored == 0 and opened == 0:
            return
        _score_wave(plan, lists, wave, scored, geometry, data, slice_bits, live, scale, bits, codes, scores, best)
        if seeds > 0:
            seeds -= _WAVE
            if seeds <= 0:
                threshold = max(np.int64(1), np.int64(key_score(best[0]) * scale))
                for group in range(groups):  # written always and kept sometimes, because that is no branch to guess
                    waiting[unopened] = (np.int64(group_bounds[group]) << 32) | group
                    unopened += group_bounds[group] >= threshold
                make_heap(waiting, unopened)


@kernel
def search_shard(geometry, data, slice_bits, checked, live, terms, weights, k, positions, scores):
    """Searches one shard for one query.

    Args:
        geometry: of the shard.
        data: [bytes] uint8 read-only, the postings file.
        slice_bits: [16] int64 bits by count code.
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
    best = np.zeros(k, np.int64)
    search_lists(plan, gap_lists, positive, lists, scale, geometry, data, slice_bits, live, best)
    make_heap(best, k)
    hits = np.int64(0)
    while hits < k and best[0] > 0:
        key = take_highest(best, k - hits)
        positions[hits] = key_position(key)
        scores[hits] = key_score(key)
        hits += 1
    return hits
