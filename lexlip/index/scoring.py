"""Adding up the postings of one block."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import load_u64, lowest_one
from lexlip.index.kernel import inlined
from lexlip.index.layout import BLOCK_DOCUMENTS, BLOCK_SHIFT, is_bitmap


@inlined
def add_plain(data, bit, count, weight, impact_bits, scores):
    """Adds postings stored as (document in block, impact).

    Args:
        data: [bytes] uint8, the postings file.
        bit: bit offset of the first posting.
        count: how many.
        weight: query weight in whole units.
        impact_bits: bits of an impact.
        scores: [64] int32, added to.
    """
    width = np.uint64(BLOCK_SHIFT + impact_bits)
    mask = (np.uint64(1) << np.uint64(impact_bits)) - np.uint64(1)
    factor = np.int32(weight)
    while count > 0:  # four postings of at most 14 bits fit into one load of 64, whatever bit it starts at
        word = load_u64(data, bit >> 3) >> np.uint64(bit & 7)
        if count < 4:  # what follows is not ours: an impact of 0 adds nothing
            word &= (np.uint64(1) << (np.uint64(count) * width)) - np.uint64(1)
        for _ in range(4):
            scores[word & np.uint64(63)] += factor * np.int32((word >> np.uint64(BLOCK_SHIFT)) & mask)
            word >>= width
        bit += 4 * np.int64(width)
        count -= 4


@inlined
def add_bitmap(data, bit, weight, impact_bits, scores):
    """Adds postings stored as a bitmap of the block and impacts; as `add_plain`."""
    word = load_u64(data, bit >> 3)
    shift = np.uint64(bit & 7)
    if shift > np.uint64(0):
        word = (word >> shift) | (load_u64(data, (bit >> 3) + 8) << (np.uint64(64) - shift))
    mask = (np.uint64(1) << np.uint64(impact_bits)) - np.uint64(1)
    factor = np.int32(weight)
    bit += BLOCK_DOCUMENTS
    while word != np.uint64(0):
        impact = (load_u64(data, bit >> 3) >> np.uint64(bit & 7)) & mask
        scores[lowest_one(word)] += factor * np.int32(impact)
        word &= word - np.uint64(1)
        bit += impact_bits


@inlined
def add_postings(data, bit, code, weight, impact_bits, scores):
    """Adds the postings of a list in a block, at `bit`, of count code `code`, to `scores` [64] int32."""
    if is_bitmap(code):
        add_bitmap(data, bit, weight, impact_bits, scores)
    else:
        add_plain(data, bit, code, weight, impact_bits, scores)
