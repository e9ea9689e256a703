"""The first step of a search: find the lists of the query's terms, check them on first use, and scale their bounds."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from typing import NamedTuple

import numpy as np

from lexlip.index.bits import count_ones, load_u8, load_u16, load_u32, load_u64, prefetch
from lexlip.index.checksum import xxh64
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import (
    DIRECTORY_RECORD_BYTES,
    GAP_RECORD_BYTES,
    HIGHEST_LEVEL,
    ROW_LIST,
    ROW_RECORD_BYTES,
    TERM_RECORD_BYTES,
    bucket_count,
)

LARGEST_BOUND = 65_535  # bounds are added up in 16 bits


class Plan(NamedTuple):
    """The lists of a query: gap lists with positive weight, then row lists with positive weight, then lists with
    negative weight.

    All arrays are [lists] int64.

    Attributes:
        weight: query weight in whole units, may be negative.
        bound: what one level adds to a bound, in bound units.
        shift: bucket shift of a gap list, or ROW_LIST.
        records: byte offset of the records.
        entries: number of entries.
        gaps: byte offset of the gaps of a gap list, of the summary of a row list.
        marks: byte offset of the marks.
        first_bit: bit offset of the postings.
    """

    weight: np.ndarray
    bound: np.ndarray
    shift: np.ndarray
    records: np.ndarray
    entries: np.ndarray
    gaps: np.ndarray
    marks: np.ndarray
    first_bit: np.ndarray


@inlined
def empty_plan(size):
    """A plan with room for `size` lists."""
    room = np.empty((8, size), np.int64)
    return Plan(room[0], room[1], room[2], room[3], room[4], room[5], room[6], room[7])


@inlined
def find_list(data, directory, term):
    """Number of a term's list, or -1."""
    record = directory + (term >> 6) * DIRECTORY_RECORD_BYTES
    bitmap = load_u64(data, record)
    bit = np.uint64(1) << np.uint64(term & 63)
    if bitmap & bit == np.uint64(0):
        return np.int64(-1)
    return np.int64(load_u32(data, record + 8)) + np.int64(count_ones(bitmap & (bit - np.uint64(1))))


@lean_kernel
def list_is_intact(data, lists, record):
    """Compares a list with its checksum in the term table."""
    start = lists + (np.int64(load_u32(data, record)) << 3)
    end = lists + (np.int64(load_u32(data, record + TERM_RECORD_BYTES)) << 3)
    return xxh64(data, start, end) & np.uint64(0xFFFFFFFF) == load_u32(data, record + 4)


@inlined
def _fill(plan, slot, data, lists, record, blocks, groups, weight):
    """Writes the list with the term record at `record` into `slot` of the plan, and asks for its first bytes."""
    base = lists + (np.int64(load_u32(data, record)) << 3)
    entries = np.int64(load_u16(data, record + 8))
    shift = np.int64(load_u8(data, record + 11))
    plan.weight[slot] = weight
    plan.bound[slot] = max(np.int64(0), weight * np.int64(load_u8(data, record + 10)))
    plan.shift[slot] = shift
    plan.records[slot] = base
    plan.entries[slot] = entries
    if shift == ROW_LIST:
        plan.gaps[slot] = base + groups // 8 * ROW_RECORD_BYTES
        plan.marks[slot] = plan.gaps[slot] + groups // 2
        for line in range(0, groups // 2, 64):  # read as a whole, but only after the gap lists
            prefetch(data, plan.gaps[slot] + line)
    else:
        plan.gaps[slot] = base + (bucket_count(blocks, shift) + 1) * GAP_RECORD_BYTES
        plan.marks[slot] = plan.gaps[slot] + entries
        for line in range(0, min(entries, 512), 64):
            prefetch(data, plan.gaps[slot] + line)
            prefetch(data, plan.marks[slot] + line)
    plan.first_bit[slot] = (plan.marks[slot] + entries) * 8


@lean_kernel
def make_plan(plan, data, geometry, checked, terms, weights, records):
    """Fills a plan with room for all terms.

    Args:
        plan: the plan to fill.
        data: [bytes] uint8 read-only, the postings file.
        geometry: of the shard.
        checked: [lists] uint8, 1 where a list was compared with its checksum before; updated.
        terms: [n] int64 term ids.
        weights: [n] int64 in whole units, not 0.
        records: [n] int64, room for term records.

    Returns:
        how many gap lists with positive weight, lists with positive weight, and lists the plan has, and bound units
        per score unit; or, when
        a list is damaged, -1 and its number.
    """
    gap_lists = row_lists = negative = 0
    for place in range(terms.size):
        number = find_list(data, geometry.directory, terms[place])
        records[place] = geometry.table + number * TERM_RECORD_BYTES if number >= 0 else -1
        if number >= 0:
            prefetch(data, records[place])
    for place in range(terms.size):
        if records[place] >= 0:
            number = (records[place] - geometry.table) // TERM_RECORD_BYTES
            if checked[number] == 0:
                if not list_is_intact(data, geometry.lists, records[place]):
                    return np.int64(-1), number, np.int64(0), 0.0
                checked[number] = 1
            if weights[place] < 0:
                negative += 1
            elif load_u8(data, records[place] + 11) == np.uint64(ROW_LIST):
                row_lists += 1
            else:
                gap_lists += 1
    positive = gap_lists + row_lists
    next_gap, next_row, next_negative = 0, gap_lists, positive
    for place in range(terms.size):
        if records[place] >= 0:
            if weights[place] < 0:
                slot = next_negative
                next_negative += 1
            elif load_u8(data, records[place] + 11) == np.uint64(ROW_LIST):
                slot = next_row
                next_row += 1
            else:
                slot = next_gap
                next_gap += 1
            _fill(plan, slot, data, geometry.lists, records[place], geometry.blocks, geometry.groups, weights[place])
    scale = 0.0
    if positive > 0:
        total = 0.0
        for slot in range(positive):
            total += plan.bound[slot]
        scale = (LARGEST_BOUND - HIGHEST_LEVEL * positive) / total
        for slot in range(positive):
            plan.bound[slot] = np.int64(np.ceil(plan.bound[slot] * scale / HIGHEST_LEVEL))
    return np.int64(gap_lists), np.int64(positive), np.int64(positive + negative), scale
