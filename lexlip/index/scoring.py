"""Adding up the postings of one block."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import count_ones, deposit, load_u64
from lexlip.index.kernel import inlined
from lexlip.index.layout import BLOCK_DOCUMENTS, BLOCK_SHIFT, is_bitmap

_BYTE_ONES = np.uint64(0x0101010101010101)


@inlined
def add_plain(data, bit, count, weight, impact_bits, scores, first):
    """Adds postings stored as (document in block, impact).

    Args:
        data: [bytes] uint8, the postings file.
        bit: bit offset of the first posting.
        count: how many.
        weight: query weight in whole units.
        impact_bits: bits of an impact.
        scores: [documents] int32, added to; its document `first` is the first one of the block.
        first: see `scores`.
    """
    width = np.uint64(BLOCK_SHIFT + impact_bits)
    mask = (np.uint64(1) << np.uint64(impact_bits)) - np.uint64(1)
    factor = np.int32(weight)
    while count > 0:  # four postings of at most 14 bits fit into one load of 64, whatever bit it starts at
        word = load_u64(data, bit >> 3) >> np.uint64(bit & 7)
        if count < 4:  # what follows is not ours: an impact of 0 adds nothing
            word &= (np.uint64(1) << (np.uint64(count) * width)) - np.uint64(1)
        for _ in range(4):
            document = first + np.int64(word & np.uint64(63))
            scores[document] += factor * np.int32((word >> np.uint64(BLOCK_SHIFT)) & mask)
            word >>= width
        bit += 4 * np.int64(width)
        count -= 4


@inlined
def _load_from_bit(data, bit):
    """64 bits from any bit offset; 16 bytes are read."""
    byte = bit >> 3
    shift = np.uint64(bit & 7)
    # In two steps, because nothing can be shifted by 64 bits.
    high = (load_u64(data, byte + 8) << np.uint64(1)) << (np.uint64(63) - shift)
    return (load_u64(data, byte) >> shift) | high


@inlined
def _spread_bitmap(data, bit, impact_bits, spread):
    """Puts impacts stored as a bitmap of the block and what follows it in their places: [8] uint64, a byte a document.

    Eight documents at a time, whether they have the term or not: no branch depends on the data.
    """
    documents = _load_from_bit(data, bit)
    lane = (np.uint64(1) << np.uint64(impact_bits)) - np.uint64(1)
    bit += BLOCK_DOCUMENTS
    for eight in range(spread.size):
        present = documents & np.uint64(255)
        documents >>= np.uint64(8)
        spread[eight] = deposit(_load_from_bit(data, bit), deposit(present, _BYTE_ONES) * lane)
        bit += np.int64(count_ones(present)) * impact_bits


@inlined
def add_bitmap(data, bit, weight, impact_bits, spread, scores, first):
    """Adds postings stored as a bitmap of the block and impacts; as `add_plain`, with `spread` [8] uint64 as room."""
    _spread_bitmap(data, bit, impact_bits, spread)
    impacts = spread.view(np.uint8)
    factor = np.int32(weight)
    for document in range(BLOCK_DOCUMENTS):
        scores[first + document] += factor * np.int32(impacts[document])


@inlined
def add_postings(data, bit, code, weight, impact_bits, spread, scores, first):
    """Adds the postings of a list in a block, at `bit`, of count code `code`, to the scores from `first` on.

    `spread` [8] uint64 is room.
    """
    if is_bitmap(code):
        add_bitmap(data, bit, weight, impact_bits, spread, scores, first)
    else:
        add_plain(data, bit, code, weight, impact_bits, scores, first)
