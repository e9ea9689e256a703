"""From a list and a block to the bits of its postings."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import TABLE_BYTES, count_ones, load_u8, load_u16, load_u32, load_u64, sum_of_table
from lexlip.index.kernel import inlined
from lexlip.index.layout import GAP_RECORD_BYTES, ROW_RECORD_BYTES


@inlined
def _bits_before(data, marks, count, slice_bits):
    """Bits that the postings of `count` entries take, whose marks begin at byte `marks`."""
    total = np.int64(0)
    for done in range(0, count, TABLE_BYTES):
        total += sum_of_table(data, marks + done, min(count - done, TABLE_BYTES), slice_bits)
    return total


@inlined
def locate_in_row_list(plan, slot, data, slice_bits, block):
    """Finds the postings of a block.

    Args:
        plan: the query's lists.
        slot: which of them, a row list.
        data: [bytes] uint8, the postings file.
        slice_bits: [16] uint16 bits by count code.
        block: number of the block.

    Returns:
        bit offset of the postings and the mark of the entry (level and code); a mark of 0 when the block has none.
    """
    record = plan.records[slot] + (block >> 6) * ROW_RECORD_BYTES
    bitmap = load_u64(data, record)
    own = np.uint64(1) << np.uint64(block & 63)
    if bitmap & own == np.uint64(0):
        return np.int64(0), np.int64(0)
    count = np.int64(count_ones(bitmap & (own - np.uint64(1))))
    marks = plan.marks[slot] + np.int64(load_u16(data, record + 12))
    bit = plan.first_bit[slot] + np.int64(load_u32(data, record + 8)) + _bits_before(data, marks, count, slice_bits)
    return bit, np.int64(load_u8(data, marks + count))


@inlined
def locate_in_gap_list(plan, slot, data, slice_bits, block):
    """Finds the postings of a block; as `locate_in_row_list`, for a gap list."""
    record_at = plan.records[slot] + (block >> plan.shift[slot]) * GAP_RECORD_BYTES
    record = load_u64(data, record_at)
    first = np.int64((record >> np.uint64(32)) & np.uint64(0xFFFF))
    end = np.int64((load_u64(data, record_at + GAP_RECORD_BYTES) >> np.uint64(32)) & np.uint64(0xFFFF))
    here = np.int64(record >> np.uint64(48))
    gaps = plan.gaps[slot]
    entry = first
    while entry < end:
        here += np.int64(load_u8(data, gaps + entry))
        if here >= block:
            break
        entry += 1
    if entry == end or here != block:
        return np.int64(0), np.int64(0)
    marks = plan.marks[slot] + first
    bit = plan.first_bit[slot] + np.int64(record & np.uint64(0xFFFFFFFF))
    bit += _bits_before(data, marks, entry - first, slice_bits)
    return bit, np.int64(load_u8(data, marks + (entry - first)))
