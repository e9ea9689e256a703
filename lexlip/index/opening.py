"""Opening groups: which come next, and which of their blocks can reach the k-th score."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import load_u16, lowest_one, prefetch
from lexlip.index.bounds import bound_blocks, bound_of_row
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import GROUP_BLOCKS, ROW_RECORD_BYTES
from lexlip.index.plan import LARGEST_BOUND
from lexlip.index.ranking import add_key
from lexlip.index.workspace import WAVE

_CHUNK = 32  # groups that are passed over together; a divisor of the padded number of groups


@lean_kernel
def highest_bound(group_bounds):
    """The highest bound of a group."""
    top = group_bounds[0]
    for group in range(1, group_bounds.size):
        top = max(top, group_bounds[group])
    return np.int64(top)


@inlined
def _highest_of_chunk(group_bounds, first):
    """The highest bound of 32 groups; they are looked at with a few vector instructions."""
    top = group_bounds[first]
    for group in range(first + 1, first + _CHUNK):
        top = max(top, group_bounds[group])
    return top


@lean_kernel
def take_seeds(group_bounds, seeds, wanted):
    """Moves up to `wanted` groups with the highest bounds from `group_bounds` (0 afterwards) to `seeds`.

    Returns:
        how many.
    """
    for size in range(wanted):
        top = highest_bound(group_bounds)
        if top == 0:
            return np.int64(size)
        group = 0
        while _highest_of_chunk(group_bounds, group) != top:
            group += _CHUNK
        while group_bounds[group] != top:
            group += 1
        group_bounds[group] = 0
        seeds[size] = group
    return np.int64(wanted)


@inlined
def _reaching(group_bounds, first, bar):
    """Bitmap of those of 32 groups whose bounds reach `bar`."""
    groups = np.uint64(0)
    for group in range(_CHUNK):
        groups |= np.uint64(group_bounds[first + group] >= bar) << np.uint64(group)
    return groups


@lean_kernel
def next_groups(group_bounds, cursor, bar, opened):
    """Moves the next groups from `cursor` on whose bounds reach `bar` (0 afterwards) to `opened` [8].

    Args:
        group_bounds: [groups] uint16.
        cursor: where to begin, a multiple of 32.
        bar: at least 1.
        opened: the result.

    Returns:
        how many, and where to go on.
    """
    size = np.int64(0)
    bar = np.uint16(min(bar, LARGEST_BOUND))
    while cursor < group_bounds.size:
        if _highest_of_chunk(group_bounds, cursor) < bar:
            cursor += _CHUNK
            continue
        groups = _reaching(group_bounds, cursor, bar)
        while groups != np.uint64(0) and size < WAVE:
            group = cursor + np.int64(lowest_one(groups))
            groups &= groups - np.uint64(1)
            group_bounds[group] = 0
            opened[size] = group
            size += 1
        if groups != np.uint64(0):
            break
        cursor += _CHUNK
    return size, cursor


@lean_kernel
def open_groups(plan, gap_lists, positive, size, geometry, data, live, threshold, work, count):
    """Bounds the blocks of some groups and adds those that reach the threshold to the candidates.

    Args:
        plan, gap_lists, positive: from `make_plan`.
        size: how many groups are named in `work.wave`.
        geometry, data, live: as in `search_lists`.
        threshold: in bound units.
        work: of the search; its candidates are added to.
        count: of the candidates.

    Returns:
        the new count of candidates.
    """
    opened, candidates = work.wave, work.candidates
    for slot in range(gap_lists, positive):
        for turn in range(size):
            prefetch(data, plan.records[slot] + (opened[turn] >> 3) * ROW_RECORD_BYTES)
    for slot in range(gap_lists, positive):
        for turn in range(size):
            entry = load_u16(data, plan.records[slot] + (opened[turn] >> 3) * ROW_RECORD_BYTES + 12)
            prefetch(data, plan.marks[slot] + np.int64(entry))
    for turn in range(size):
        first_four, last_four = bound_blocks(
            plan, gap_lists, positive, data, geometry.groups, work.block_bounds, opened[turn]
        )
        for row in range(GROUP_BLOCKS):
            bound = bound_of_row(first_four, last_four, row)
            block = opened[turn] * GROUP_BLOCKS + row
            if bound >= threshold and (live.size == 0 or live[block] != np.uint64(0)):
                add_key(candidates, count, (bound << 32) | block)
                count += 1
    return count
