"""Scoring blocks in waves of eight: locate all postings and ask for them, then add them up.

Loads of different blocks and lists overlap that way. The lists with most of the bound come first; few blocks can matter
after that, and only those get the other lists.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import load_u32, load_u64, lowest_one, prefetch
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import (
    BLOCK_DOCUMENTS,
    BLOCK_SHIFT,
    GAP_RECORD_BYTES,
    POSITION_BYTES,
    ROW_LIST,
    ROW_RECORD_BYTES,
)
from lexlip.index.locating import locate_in_gap_list, locate_in_row_list
from lexlip.index.ranking import hit_key, key_score, make_heap, replace_lowest, take_highest
from lexlip.index.scoring import add_postings

BLOCK_MASK = 0xFFFFFFFF  # the low half of a key (bound, block)
_FIRST_PART = 0.6  # of the bound of a query: what is added up before a block is judged again


@inlined
def _reaching(scores, first, lowest):
    """Bitmap of the 64 documents from `first` on whose scores reach `lowest`."""
    documents = np.uint64(0)
    for document in range(BLOCK_DOCUMENTS):
        documents |= np.uint64(scores[first + document] >= lowest) << np.uint64(document)
    return documents


@lean_kernel
def offer_block(scores, first, block, geometry, data, live, best):
    """Offers the documents of a block, whose scores begin at `first`, to the k best."""
    documents = _reaching(scores, first, np.int32(max(np.int64(1), key_score(best[0]))))
    if live.size > 0:
        documents &= live[block]
    while documents != np.uint64(0):
        document = np.int64(lowest_one(documents))
        documents &= documents - np.uint64(1)
        number = (block << BLOCK_SHIFT) + document
        position = np.int64(load_u32(data, geometry.id_map + number * POSITION_BYTES) & np.uint64(0xFFFFFF))
        key = hit_key(scores[first + document], position)
        if key > best[0]:
            replace_lowest(best, key)


@lean_kernel
def order_lists(plan, positive, lists, work):
    """Puts the lists of a plan in the order in which they are added: negative weights first, then by falling bound.

    Args:
        plan, positive, lists: from `make_plan`.
        work: of the search; its candidates are overwritten, its sequence is the result.

    Returns:
        how many lists in front make the first part, which has most of the bound.
    """
    keys, sequence = work.candidates, work.sequence
    for slot in range(positive):
        keys[slot] = (plan.bound[slot] << 32) | slot
    make_heap(keys, positive)
    for place in range(lists - positive):
        sequence[place] = positive + place
    total = np.int64(0)
    for slot in range(positive):
        total += plan.bound[slot]
    first_part = np.int64(lists)
    added = np.int64(0)
    for place in range(lists - positive, lists):
        sequence[place] = take_highest(keys, lists - place) & BLOCK_MASK
        added += plan.bound[sequence[place]]
        if added >= _FIRST_PART * total and first_part == lists:
            first_part = np.int64(place + 1)
    return first_part


@lean_kernel
def _locate_lists(plan, slots, wave, size, data, slice_bits, bits, marks):
    """Finds and prefetches the postings of some lists in up to 8 blocks.

    Args:
        plan: the query's lists.
        slots: [n] int64, which of them.
        wave, size: [8] int64 keys with a block in the low half, and how many.
        data, slice_bits: of the shard.
        bits, marks: [8, lists] int64, the result by place in `slots`: where the postings are, and the entry's mark.
    """
    for place in range(slots.size):
        slot = slots[place]
        records = plan.records[slot]
        if plan.shift[slot] == ROW_LIST:
            for turn in range(size):
                prefetch(data, records + ((wave[turn] & BLOCK_MASK) >> 6) * ROW_RECORD_BYTES)
        else:
            for turn in range(size):
                prefetch(data, records + ((wave[turn] & BLOCK_MASK) >> plan.shift[slot]) * GAP_RECORD_BYTES)
    for place in range(slots.size):
        slot = slots[place]
        if plan.shift[slot] != ROW_LIST:
            for turn in range(size):
                record = plan.records[slot] + ((wave[turn] & BLOCK_MASK) >> plan.shift[slot]) * GAP_RECORD_BYTES
                entry = np.int64((load_u64(data, record) >> np.uint64(32)) & np.uint64(0xFFFF))
                prefetch(data, plan.gaps[slot] + entry)
                prefetch(data, plan.marks[slot] + entry)
    for place in range(slots.size):
        slot = slots[place]
        if plan.shift[slot] == ROW_LIST:
            for turn in range(size):
                bit, mark = locate_in_row_list(plan, slot, data, slice_bits, wave[turn] & BLOCK_MASK)
                bits[turn, place], marks[turn, place] = bit, mark
                prefetch(data, bit >> 3)
        else:
            for turn in range(size):
                bit, mark = locate_in_gap_list(plan, slot, data, slice_bits, wave[turn] & BLOCK_MASK)
                bits[turn, place], marks[turn, place] = bit, mark
                prefetch(data, bit >> 3)


@inlined
def _add_lists(plan, slots, bits, marks, turn, data, impact_bits, spread, scores, first, left):
    """Adds the postings of some lists, located in block `turn` of the wave, to the scores from `first` on.

    Returns:
        what lists still to come can add.
    """
    for place in range(slots.size):
        mark = marks[turn, place]
        if mark > 0:
            slot = slots[place]
            left -= (mark >> 4) * plan.bound[slot]
            add_postings(data, bits[turn, place], mark & 15, plan.weight[slot], impact_bits, spread, scores, first)
    return left


@inlined
def bound_to_reach(best, scale):
    """The bound, in bound units and at least 1, below which nothing can get among the k best."""
    return max(np.int64(1), np.int64(key_score(best[0]) * scale))


@inlined
def may_reach(scores, first, left, lowest, scale):
    """Whether one of the 64 documents from `first` on, with `left` bound units to come, can reach `lowest`."""
    top = scores[first]
    for document in range(first + 1, first + BLOCK_DOCUMENTS):
        top = max(top, scores[document])
    return left + 1 >= (lowest - np.int64(top)) * scale


@lean_kernel
def score_wave(plan, first_part, size, geometry, data, slice_bits, live, scale, work):
    """Scores up to 8 blocks: first the lists with most of the bound, then the others for blocks that can still matter.

    Args:
        plan, first_part: the query's lists, and how many of `work.sequence` come first.
        size: how many keys (bound, block), by falling bound, are in `work.wave`, which is changed.
        geometry, data, slice_bits: of the shard.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        scale: bound units per score unit.
        work: of the search; the k best are updated.
    """
    slots, others = work.sequence[:first_part], work.sequence[first_part:]
    wave, bits, marks, scores, best = work.wave, work.bits, work.marks, work.scores, work.best
    impact_bits = geometry.impact_bits
    lowest = key_score(best[0])
    _locate_lists(plan, slots, wave, size, data, slice_bits, bits, marks)
    kept = 0
    for turn in range(size):
        bound, block = wave[turn] >> 32, wave[turn] & BLOCK_MASK
        first = kept * BLOCK_DOCUMENTS
        scores[first : first + BLOCK_DOCUMENTS] = 0
        left = _add_lists(plan, slots, bits, marks, turn, data, impact_bits, work.spread, scores, first, bound)
        if may_reach(scores, first, left, lowest, scale):
            wave[kept] = (left << 32) | block
            kept += 1
    if kept > 0 and others.size > 0:
        _locate_lists(plan, others, wave, kept, data, slice_bits, bits, marks)
    for turn in range(kept):
        left, block = wave[turn] >> 32, wave[turn] & BLOCK_MASK
        first = turn * BLOCK_DOCUMENTS
        if may_reach(scores, first, left, key_score(best[0]), scale):
            _add_lists(plan, others, bits, marks, turn, data, impact_bits, work.spread, scores, first, left)
            offer_block(scores, first, block, geometry, data, live, best)
