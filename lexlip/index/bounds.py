"""Upper bounds: what a group of 512 documents, and then a block of 64, can score at most.

Bounds are sums of (bound of one level x level) in 16 bits, scaled per query so that they cannot overflow, and
rounded up so that they hold.
Few groups can reach the score of the k-th hit, so only those are looked at block by block.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import count_ones, deposit, load_u8, load_u16, load_u64
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import GROUP_BLOCKS, ROW_RECORD_BYTES

_LEVEL_BITS = np.uint64(0x0F0F0F0F0F0F0F0F)
_LANE_ONES = np.uint64(0x0001000100010001)
_BYTE = np.uint64(0xFF)


@lean_kernel
def add_gap_lists(plan, gap_lists, data, groups, block_bounds):
    """Adds the levels of all gap lists to the bounds of their blocks.

    Args:
        plan: the query's lists; the first `gap_lists` are used.
        data: [bytes] uint8, the postings file.
        groups: padded groups of the shard.
        block_bounds: [8 x groups] uint16, block b at (b % 8) x groups + b // 8, so that the blocks of a group lie
        one below the other.
    """
    for slot in range(gap_lists):
        gaps = plan.gaps[slot]
        marks = plan.marks[slot]
        bound = np.uint16(plan.bound[slot])
        block = np.uint64(0)
        for entry in range(plan.entries[slot]):
            block += load_u8(data, gaps + entry)
            cell = (block & np.uint64(7)) * np.uint64(groups) + (block >> np.uint64(3))
            block_bounds[cell] += bound * np.uint16(load_u8(data, marks + entry) >> np.uint64(4))


@lean_kernel
def bound_groups(plan, gap_lists, positive, data, groups, block_bounds, group_bounds):
    """Bounds of all groups: the highest sum of gap lists among the blocks, and the highest level of each row list.

    Args:
        plan: the query's lists; those from `gap_lists` to `positive` are row lists.
        gap_lists, positive: how many lists of the plan are gap lists, and have positive weight.
        data: [bytes] uint8, the postings file.
        groups: padded groups of the shard.
        block_bounds: [8 x groups] uint16 from `add_gap_lists`.
        group_bounds: [groups] uint16, the result.
    """
    if gap_lists > 0:
        for group in range(groups):
            group_bounds[group] = block_bounds[group]
        for row in range(1, GROUP_BLOCKS):
            bounds = block_bounds[row * groups : (row + 1) * groups]
            for group in range(groups):
                group_bounds[group] = max(group_bounds[group], bounds[group])
    else:
        for group in range(groups):
            group_bounds[group] = 0
    half = groups >> 1
    low_half = group_bounds[:half]
    high_half = group_bounds[half:]
    for slot in range(gap_lists, positive):
        bound = np.uint16(plan.bound[slot])
        summary = data[plan.gaps[slot] : plan.gaps[slot] + half]
        for cell in range(half):
            low_half[cell] += np.uint16(summary[cell] & np.uint8(15)) * bound
        for cell in range(half):
            high_half[cell] += np.uint16(summary[cell] >> np.uint8(4)) * bound


@inlined
def bound_blocks(plan, gap_lists, positive, data, groups, block_bounds, group):
    """Bounds of the 8 blocks of a group.

    Args:
        plan, gap_lists, positive, data, groups, block_bounds: as for `bound_groups`.
        group: which group.

    Returns:
        two uint64 with four bounds of 16 bits each: of blocks 0 to 3 of the group, the first in the lowest bits, and
        of 4 to 7.
    """
    first_four = np.uint64(0)
    last_four = np.uint64(0)
    for row in range(4):
        first_four |= np.uint64(block_bounds[row * groups + group]) << np.uint64(16 * row)
        last_four |= np.uint64(block_bounds[(row + 4) * groups + group]) << np.uint64(16 * row)
    record = (group >> 3) * ROW_RECORD_BYTES
    shift = np.uint64((group & 7) << 3)
    before = (np.uint64(1) << shift) - np.uint64(1)
    for slot in range(gap_lists, positive):
        at = plan.records[slot] + record
        bitmap = load_u64(data, at)
        present = (bitmap >> shift) & np.uint64(255)
        entry = np.int64(load_u16(data, at + 12) + count_ones(bitmap & before))
        levels = (load_u64(data, plan.marks[slot] + entry) >> np.uint64(4)) & _LEVEL_BITS
        bound = np.uint64(plan.bound[slot])
        low_present = present & np.uint64(15)
        first_four += deposit(levels, deposit(low_present, _LANE_ONES) * _BYTE) * bound
        levels = levels >> (count_ones(low_present) << np.uint64(3))
        last_four += deposit(levels, deposit(present >> np.uint64(4), _LANE_ONES) * _BYTE) * bound
    return first_four, last_four


@inlined
def bound_of_row(first_four, last_four, row):
    """The bound of block `row`, 0 to 7, of a group, from what `bound_blocks` returns."""
    return np.int64(((first_four if row < 4 else last_four) >> np.uint64((row & 3) << 4)) & np.uint64(0xFFFF))
