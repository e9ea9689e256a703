"""Scoring 64 blocks at a time, list by list from front to back, where many of them can matter.

A wave looks every list up in every block. That is right when few blocks are left, and a waste when many are, as for
long queries of flat weights: there an entry follows the one before, and reading on took a third of the time. So words
of 64 blocks, which share one record of a row list, are swept whole when enough of their blocks can reach the k-th
score. Heavy lists come first; every few lists it is looked which blocks can still matter, and the others are passed
over from there on.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import count_ones, load_u8, load_u16, load_u32, load_u64, lowest_one
from lexlip.index.bounds import bound_blocks, bound_of_row
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import (
    BLOCK_SHIFT,
    GAP_RECORD_BYTES,
    GROUP_BLOCKS,
    ROW_LIST,
    ROW_RECORD_BYTES,
    WORD_BLOCKS,
)
from lexlip.index.ranking import add_key, key_score
from lexlip.index.scoring import add_postings
from lexlip.index.waves import bound_to_reach, may_reach, offer_block

WORD_GROUPS = WORD_BLOCKS // GROUP_BLOCKS
DENSE_GROUPS = 2  # of the 8 in a word: with fewer that can matter, its blocks are not worth a look together
LISTS_BETWEEN_LOOKS = 8  # 16 measured alike; looking only once was a sixth slower on long queries
DENSE_BLOCKS = 5  # of the 64 in a word: from here on sweeping is faster than waves


@inlined
def _add_entry(plan, slot, data, bit, mark, block, impact_bits, spread, bounds_left, scores):
    """Adds the postings of one entry to the scores of a block of the word, and takes its level off what is left."""
    bounds_left[block] -= (mark >> 4) * plan.bound[slot]
    add_postings(data, bit, mark & 15, plan.weight[slot], impact_bits, spread, scores, block << BLOCK_SHIFT)


@inlined
def _sweep_row_list(plan, slot, word, wanted, data, slice_bits, impact_bits, spread, bounds_left, scores):
    """Adds a row list to the wanted blocks of a word; see `sweep_word`."""
    record = plan.records[slot] + word * ROW_RECORD_BYTES
    present = load_u64(data, record)
    bit = plan.first_bit[slot] + np.int64(load_u32(data, record + 8))
    entry = plan.marks[slot] + np.int64(load_u16(data, record + 12))
    while present & wanted != np.uint64(0):
        block = np.int64(lowest_one(present))
        present &= present - np.uint64(1)
        mark = np.int64(load_u8(data, entry))
        if wanted >> np.uint64(block) & np.uint64(1) != np.uint64(0):
            _add_entry(plan, slot, data, bit, mark, block, impact_bits, spread, bounds_left, scores)
        bit += np.int64(slice_bits[mark & 15])
        entry += 1


@inlined
def _sweep_gap_list(plan, slot, word, wanted, data, slice_bits, impact_bits, spread, bounds_left, scores):
    """Adds a gap list to the wanted blocks of a word; see `sweep_word`."""
    first_block = word * WORD_BLOCKS
    record = load_u64(data, plan.records[slot] + (first_block >> plan.shift[slot]) * GAP_RECORD_BYTES)
    bit = plan.first_bit[slot] + np.int64(record & np.uint64(0xFFFFFFFF))
    block = np.int64(record >> np.uint64(48)) - first_block
    for entry in range(np.int64(record >> np.uint64(32) & np.uint64(0xFFFF)), plan.entries[slot]):
        block += np.int64(load_u8(data, plan.gaps[slot] + entry))
        if block >= WORD_BLOCKS:
            break
        mark = np.int64(load_u8(data, plan.marks[slot] + entry))
        if mark > 0 and block >= 0 and wanted >> np.uint64(block) & np.uint64(1) != np.uint64(0):
            _add_entry(plan, slot, data, bit, mark, block, impact_bits, spread, bounds_left, scores)
        bit += np.int64(slice_bits[mark & 15])


@inlined
def _sweep_lists(plan, slots, word, wanted, data, slice_bits, impact_bits, spread, bounds_left, scores):
    """Adds some lists to the wanted blocks of a word; see `sweep_word`."""
    for place in range(slots.size):
        slot = slots[place]
        if plan.shift[slot] == ROW_LIST:
            _sweep_row_list(plan, slot, word, wanted, data, slice_bits, impact_bits, spread, bounds_left, scores)
        else:
            _sweep_gap_list(plan, slot, word, wanted, data, slice_bits, impact_bits, spread, bounds_left, scores)


@inlined
def _still_wanted(wanted, scores, bounds_left, lowest, scale):
    """Those of the wanted blocks that can still reach `lowest`."""
    left = np.uint64(0)
    while wanted != np.uint64(0):
        block = np.int64(lowest_one(wanted))
        wanted &= wanted - np.uint64(1)
        if may_reach(scores, block << BLOCK_SHIFT, bounds_left[block], lowest, scale):
            left |= np.uint64(1) << np.uint64(block)
    return left


@lean_kernel
def sweep_word(plan, first_part, word, wanted, geometry, data, slice_bits, live, scale, work):
    """Scores the wanted blocks of a word and offers their documents to the k best.

    Args:
        plan, first_part: the query's lists, and how many of `work.sequence` have most of the bound.
        word: which 64 blocks.
        wanted: bitmap of the blocks to score.
        geometry, data, slice_bits: of the shard.
        live: [blocks] uint64, documents that may be returned; empty when all may.
        scale: bound units per score unit.
        work: of the search, with the bounds of the wanted blocks in `bounds_left`; the k best are updated.
    """
    bounds_left, scores, best = work.bounds_left, work.scores, work.best
    lists, impact_bits, lowest = work.sequence.size, geometry.impact_bits, key_score(work.best[0])
    scores[:] = 0
    begin, end = 0, first_part // 2
    while True:
        slots = work.sequence[begin:end]
        _sweep_lists(plan, slots, word, wanted, data, slice_bits, impact_bits, work.spread, bounds_left, scores)
        if end == lists or wanted == np.uint64(0):
            break
        wanted = _still_wanted(wanted, scores, bounds_left, lowest, scale)
        begin, end = end, min(lists, end + LISTS_BETWEEN_LOOKS)
    while wanted != np.uint64(0):
        block = np.int64(lowest_one(wanted))
        wanted &= wanted - np.uint64(1)
        offer_block(scores, block << BLOCK_SHIFT, word * WORD_BLOCKS + block, geometry, data, live, best)


@lean_kernel
def _bound_word(plan, gap_lists, positive, geometry, data, live, bar, threshold, word, work):
    """Opens the groups of a word that reach the bar (their bounds become 0).

    Returns:
        bitmap of their blocks that reach the threshold; the bounds of these are put into `work.bounds_left`.
    """
    wanted = np.uint64(0)
    for group in range(word * WORD_GROUPS, (word + 1) * WORD_GROUPS):
        if work.group_bounds[group] < bar:
            continue
        work.group_bounds[group] = 0
        first_four, last_four = bound_blocks(plan, gap_lists, positive, data, geometry.groups, work.block_bounds, group)
        for row in range(GROUP_BLOCKS):
            bound = bound_of_row(first_four, last_four, row)
            block = group * GROUP_BLOCKS + row
            if bound >= threshold and (live.size == 0 or live[block] != np.uint64(0)):
                work.bounds_left[block - word * WORD_BLOCKS] = bound
                wanted |= np.uint64(1) << np.uint64(block - word * WORD_BLOCKS)
    return wanted


@inlined
def _groups_reaching(group_bounds, word, bar):
    """How many groups of a word reach the bar."""
    count = 0
    for group in range(word * WORD_GROUPS, (word + 1) * WORD_GROUPS):
        count += group_bounds[group] >= bar
    return count


@lean_kernel
def sweep_dense_words(plan, gap_lists, positive, first_part, geometry, data, slice_bits, live, scale, bar, work, count):
    """Scores the words of which many blocks can reach the k-th score; leaves the others to waves.

    Args:
        plan, gap_lists, positive: from `make_plan`.
        first_part, geometry, data, slice_bits, live, scale: see `sweep_word`.
        bar: groups with a lower bound are left alone.
        work: of the search. The blocks of words that turn out not to be worth sweeping become candidates.
        count: of the candidates.

    Returns:
        the new count of candidates.
    """
    for word in range(geometry.groups // WORD_GROUPS):
        threshold = bound_to_reach(work.best, scale)
        here = max(bar, threshold)
        if _groups_reaching(work.group_bounds, word, here) < DENSE_GROUPS:
            continue
        wanted = _bound_word(plan, gap_lists, positive, geometry, data, live, here, threshold, word, work)
        if np.int64(count_ones(wanted)) >= DENSE_BLOCKS:
            sweep_word(plan, first_part, word, wanted, geometry, data, slice_bits, live, scale, work)
            continue
        while wanted != np.uint64(0):
            block = np.int64(lowest_one(wanted))
            wanted &= wanted - np.uint64(1)
            add_key(work.candidates, count, (work.bounds_left[block] << 32) | (word * WORD_BLOCKS + block))
            count += 1
    return count
