"""Where things lie inside a posting list: the geometry that writer and search kernels share.

Documents are numbered inside a shard in the order that brings similar ones together (`ordering.py`). 64 of them make
a *block*, 8 blocks a
*group*. A term's *list* has one *entry* for every block with the term:

- a *level*, 4 bits: the highest impact in the block, in fifteenths of the term's highest impact, rounded up, so that
it bounds;
- a *code*, 4 bits: how many postings the block has (see `count_code`), from which follows how many bits they take;
- the postings themselves, packed bit by bit: up to 10 as (document in block: 6 bits, impact), more as a bitmap of
the block and the impacts.

Frequent terms have a *row list*: what is needed to reach the entry of a block at once.

    records     16 bytes for each 64 blocks: bitmap of the blocks with an entry (u64), bit offset of their postings
    (u32), number of the
                first entry (u16), nothing (u16)
    summary     4 bits a group: the highest level in it; the groups of the first half in the low nibbles, of the
    second in the high ones
    marks       1 byte an entry: level (high nibble) and code (low nibble)
    postings

Other terms have a *gap list*, read from front to back.

    records     8 bytes for each bucket of 2^shift blocks: bit offset of the postings (u32), number of the first
    entry (u16), block of the
                entry before (u16); and one record more, for the end
    gaps        1 byte an entry: blocks since the entry before; 255 with a mark of 0 only bridges a distance
    marks       1 byte an entry, as above
    postings

Numbers are little-endian; a list begins at a multiple of 8 bytes.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import inlined

BLOCK_DOCUMENTS = 64
BLOCK_SHIFT = 6
GROUP_BLOCKS = 8
WORD_BLOCKS = 64  # blocks that one record of a row list describes
HIGHEST_LEVEL = 15
LARGEST_BLOCKS = 65_535  # a block number takes 16 bits
LARGEST_DOCUMENTS = LARGEST_BLOCKS * BLOCK_DOCUMENTS

ROW_RECORD_BYTES = 16
GAP_RECORD_BYTES = 8
BRIDGE = 255
ROW_LIST = 255  # in place of a bucket shift: this is a row list
# A term: start in units of 8 bytes (u32), low half of the list's XXH64 (u32), entries (u16), highest impact (u8),
# bucket shift (u8).
TERM_RECORD_BYTES = 12
# For each 64 terms: bitmap of those with a list (u64), number of the first list (u32).
DIRECTORY_RECORD_BYTES = 12
POSITION_BYTES = 3
READ_AHEAD_BYTES = 16  # after the last list, so that a load of 16 bytes never leaves the section

_PLAIN_CODES = 10  # up to this many postings are stored one by one
_BITMAP_CAPACITIES = (14, 20, 30, 44, 64)  # impacts that codes 11 to 15 have room for


def slice_bits(impact_bits: int) -> np.ndarray:
    """[16] uint16: bits that the postings of a block take, by count code."""
    plain = [code * (BLOCK_SHIFT + impact_bits) for code in range(_PLAIN_CODES + 1)]
    return np.array(plain + [BLOCK_DOCUMENTS + room * impact_bits for room in _BITMAP_CAPACITIES], np.uint16)


@inlined
def count_code(count):
    """The 4-bit code of a number of postings from 1 to 64."""
    if count <= 10:
        return count
    if count <= 14:
        return 11
    if count <= 20:
        return 12
    if count <= 30:
        return 13
    return 14 if count <= 44 else 15


@inlined
def is_bitmap(code):
    """Whether postings of this code are a bitmap of the block followed by impacts."""
    return code > 10


@inlined
def padded_groups(blocks):
    """Groups of a shard, rounded up to 64, so that both halves of a summary suit vector instructions."""
    return (blocks + 511) // 512 * 64


@inlined
def row_list_header_bytes(groups, entries):
    """Bytes of a row list before its postings."""
    return groups // 8 * ROW_RECORD_BYTES + groups // 2 + entries


@inlined
def bucket_count(blocks, shift):
    """Buckets of 2^shift blocks."""
    return ((blocks - 1) >> shift) + 1


@inlined
def gap_list_header_bytes(blocks, shift, entries):
    """Bytes of a gap list before its postings."""
    return (bucket_count(blocks, shift) + 1) * GAP_RECORD_BYTES + 2 * entries


@inlined
def bucket_shift(blocks, entries):
    """The bucket width of a gap list, chosen for 16 to 32 entries a bucket."""
    shift = 0
    while shift < 16 and (entries << (shift + 1)) <= 32 * blocks:
        shift += 1
    return shift
