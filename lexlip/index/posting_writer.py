"""Writes the posting lists of a shard (geometry in `layout.py`) from postings sorted by term and document."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from lexlip.index.checksum import xxh64
from lexlip.index.kernel import inlined, lean_kernel
from lexlip.index.layout import (
    BLOCK_SHIFT,
    BRIDGE,
    GAP_RECORD_BYTES,
    HIGHEST_LEVEL,
    READ_AHEAD_BYTES,
    ROW_LIST,
    ROW_RECORD_BYTES,
    TERM_RECORD_BYTES,
    bucket_count,
    bucket_shift,
    count_code,
    gap_list_header_bytes,
    is_bitmap,
    padded_groups,
    row_list_header_bytes,
)

_BLOCK_MASK = (1 << BLOCK_SHIFT) - 1
_THREADS = 2
_RANGES = 16  # of terms; more than threads, since terms are not equally quick


@lean_kernel
def _block_end(documents, posting, end):
    """One past the last posting in the block of `posting`."""
    block = documents[posting] >> BLOCK_SHIFT
    while posting < end and documents[posting] >> BLOCK_SHIFT == block:
        posting += 1
    return posting


@lean_kernel
def measure_lists(first, last, list_starts, documents, impacts, blocks, row_share, slice_bits, sizes):
    """Decides the kind of the lists of some terms and fills `sizes` [terms, 4] int64: bytes, entries, highest impact,
    bucket shift or ROW_LIST.

    Args:
        first, last: terms [first, last).
        list_starts, documents, impacts: postings by term, from `inversion.invert`.
        blocks: blocks of the shard.
        row_share: a term in more than this share of the blocks gets a row list.
        slice_bits: [16] bits by count code.
        sizes: the result; all 0 for a term without postings.
    """
    groups = padded_groups(blocks)
    for term in range(first, last):
        posting, end = list_starts[term], list_starts[term + 1]
        entries = bridges = bits = highest = 0
        previous = np.int64(0)
        while posting < end:
            block = np.int64(documents[posting] >> BLOCK_SHIFT)
            after = _block_end(documents, posting, end)
            entries += 1
            bridges += max(np.int64(0), block - previous - 1) // BRIDGE
            previous = block
            bits += np.int64(slice_bits[count_code(after - posting)])
            for inside in range(posting, after):
                highest = max(highest, np.int64(impacts[inside]))
            posting = after
        if entries == 0:
            continue
        if entries > row_share * blocks:
            shift = ROW_LIST
            header = row_list_header_bytes(groups, entries)
        else:
            entries += bridges
            shift = bucket_shift(blocks, entries)
            header = gap_list_header_bytes(blocks, shift, entries)
        sizes[term, 0] = (header + ((bits + 7) >> 3) + 7) >> 3 << 3
        sizes[term, 1] = entries
        sizes[term, 2] = highest
        sizes[term, 3] = shift


@inlined
def _put(data, offset, width, value):
    """Stores `width` little-endian bytes of `value`."""
    for byte in range(width):
        data[offset + byte] = (value >> (8 * byte)) & 255


@inlined
def _put_bits(data, bit, width, value):
    """Adds `width` bits of `value` at position `bit` of zeroed bytes."""
    value = value << (bit & 7)
    byte = bit >> 3
    end = (bit + width + 7) >> 3
    while byte < end:
        data[byte] |= value & 255
        value >>= 8
        byte += 1


@lean_kernel
def write_slice(documents, impacts, posting, after, impact_bits, data, bit):
    """Writes the postings of one block at position `bit`."""
    if is_bitmap(count_code(after - posting)):
        for inside in range(posting, after):
            document = documents[inside] & _BLOCK_MASK
            _put_bits(data, bit + document, 1, 1)
            _put_bits(data, bit + 64 + (inside - posting) * impact_bits, impact_bits, np.int64(impacts[inside]))
    else:
        for inside in range(posting, after):
            value = np.int64(documents[inside] & _BLOCK_MASK) | (np.int64(impacts[inside]) << BLOCK_SHIFT)
            _put_bits(data, bit, BLOCK_SHIFT + impact_bits, value)
            bit += BLOCK_SHIFT + impact_bits


@lean_kernel
def _level(impacts, posting, after, highest):
    """Highest impact of some postings in fifteenths of the term's highest, rounded up."""
    top = np.int64(0)
    for inside in range(posting, after):
        top = max(top, np.int64(impacts[inside]))
    return (top * HIGHEST_LEVEL + highest - 1) // highest


@lean_kernel
def _write_row_list(documents, impacts, posting, end, blocks, entries, highest, impact_bits, slice_bits, data, base):
    """Writes one row list at byte `base` of zeroed `data`."""
    groups = padded_groups(blocks)
    half = groups // 2
    summary = base + groups // 8 * ROW_RECORD_BYTES
    marks = summary + half
    first_bit = (marks + entries) * 8
    bit = first_bit
    entry = 0
    for word in range(groups // 8):
        record = base + word * ROW_RECORD_BYTES
        _put(data, record + 8, 4, bit - first_bit)
        _put(data, record + 12, 2, entry)
        while posting < end and documents[posting] >> BLOCK_SHIFT >> 6 == word:
            block = np.int64(documents[posting] >> BLOCK_SHIFT)
            after = _block_end(documents, posting, end)
            _put_bits(data, record * 8 + (block & 63), 1, 1)
            level = _level(impacts, posting, after, highest)
            code = count_code(after - posting)
            data[marks + entry] = (level << 4) | code
            group = block >> 3
            side = 4 if group >= half else 0
            cell = summary + (group - half if group >= half else group)
            if level > (data[cell] >> side) & 15:
                data[cell] = (data[cell] & (240 if side == 0 else 15)) | (level << side)
            write_slice(documents, impacts, posting, after, impact_bits, data, bit)
            bit += np.int64(slice_bits[code])
            entry += 1
            posting = after


@lean_kernel
def _write_gap_list(
    documents, impacts, posting, end, blocks, entries, highest, shift, impact_bits, slice_bits, data, base
):
    """Writes one gap list at byte `base` of zeroed `data`."""
    buckets = bucket_count(blocks, shift)
    gaps = base + (buckets + 1) * GAP_RECORD_BYTES
    marks = gaps + entries
    first_bit = (marks + entries) * 8
    bit = first_bit
    entry = 0
    bucket = 0
    previous = np.int64(0)
    while posting < end:
        block = np.int64(documents[posting] >> BLOCK_SHIFT)
        while bucket <= block >> shift:
            _put(data, base + bucket * GAP_RECORD_BYTES, 8, (bit - first_bit) | (entry << 32) | (previous << 48))
            bucket += 1
        while block - previous > BRIDGE:
            data[gaps + entry] = BRIDGE
            entry += 1
            previous += BRIDGE
        after = _block_end(documents, posting, end)
        code = count_code(after - posting)
        data[gaps + entry] = block - previous
        data[marks + entry] = (_level(impacts, posting, after, highest) << 4) | code
        write_slice(documents, impacts, posting, after, impact_bits, data, bit)
        bit += np.int64(slice_bits[code])
        entry += 1
        previous = block
        posting = after
    while bucket <= buckets:
        _put(data, base + bucket * GAP_RECORD_BYTES, 8, (bit - first_bit) | (entry << 32) | (previous << 48))
        bucket += 1


@lean_kernel
def write_lists(
    first, last, list_starts, documents, impacts, blocks, impact_bits, slice_bits, sizes, bases, numbers, table, data
):
    """Writes the lists of some terms, each behind that of the term before.

    Args:
        first, last: terms [first, last).
        list_starts, documents, impacts: postings by term, from `inversion.invert`.
        blocks: blocks of the shard.
        impact_bits: bits of an impact.
        slice_bits: [16] bits by count code.
        sizes: [terms, 4] from `measure_lists`.
        bases: [terms] int64, the byte at which a list begins.
        numbers: [terms] int64, the number of a list.
        table: [(lists + 1) x TERM_RECORD_BYTES] uint8, zeros; becomes the term table.
        data: [bytes of all lists + READ_AHEAD_BYTES] uint8, zeros; becomes the lists.
    """
    for term in range(first, last):
        size, entries, highest, shift = sizes[term, 0], sizes[term, 1], sizes[term, 2], sizes[term, 3]
        if size == 0:
            continue
        posting, end, base = list_starts[term], list_starts[term + 1], bases[term]
        if shift == ROW_LIST:
            _write_row_list(
                documents, impacts, posting, end, blocks, entries, highest, impact_bits, slice_bits, data, base
            )
        else:
            _write_gap_list(
                documents, impacts, posting, end, blocks, entries, highest, shift, impact_bits, slice_bits, data, base
            )
        record = numbers[term] * TERM_RECORD_BYTES
        _put(table, record, 4, base >> 3)
        _put(table, record + 4, 4, np.int64(xxh64(data, base, base + size) & np.uint64(0xFFFFFFFF)))
        _put(table, record + 8, 2, entries)
        table[record + 10] = highest
        table[record + 11] = shift


def _ranges(list_starts: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Splits the terms into ranges with about as many postings each."""
    wanted = np.linspace(0, list_starts[-1], parts + 1)[1:-1]
    ends = [0, *np.searchsorted(list_starts, wanted).tolist(), list_starts.size - 1]
    return [(first, last) for first, last in pairwise(ends) if first < last]


def encode_lists(
    list_starts: np.ndarray,
    documents: np.ndarray,
    impacts: np.ndarray,
    blocks: int,
    impact_bits: int,
    row_share: float,
    slice_bits: np.ndarray,
) -> dict[str, np.ndarray]:
    """The sections "directory", "table" and "lists" of a postings file; two threads write them.

    Args:
        list_starts: [terms + 1] int64 from `inversion.invert`.
        documents: [postings] int32.
        impacts: [postings] uint8, at least 1.
        blocks: blocks of the shard, at least 1.
        impact_bits: bits of an impact.
        row_share: a term in more than this share of the blocks gets a row list: larger and faster.
        slice_bits: [16] from `layout.slice_bits`.
    """
    postings = (list_starts, documents, impacts, blocks)
    sizes = np.zeros((list_starts.size - 1, 4), np.int64)
    ranges = _ranges(list_starts, _RANGES)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda part: measure_lists(part[0], part[1], *postings, row_share, slice_bits, sizes), ranges))
        present = sizes[:, 0] > 0
        bases = np.cumsum(sizes[:, 0]) - sizes[:, 0]
        numbers: np.ndarray = np.cumsum(present) - present
        end = int(sizes[:, 0].sum())
        table = np.zeros((int(present.sum()) + 1) * TERM_RECORD_BYTES, np.uint8)
        table[-TERM_RECORD_BYTES:][:4] = np.array([end >> 3], "<u4").view(np.uint8)
        data = np.zeros(end + READ_AHEAD_BYTES, np.uint8)
        layout = (impact_bits, slice_bits, sizes, bases, numbers, table, data)
        list(pool.map(lambda part: write_lists(part[0], part[1], *postings, *layout), ranges))
    return {"directory": _directory(present), "table": table, "lists": data}


def _directory(present: np.ndarray) -> np.ndarray:
    """For each 64 terms a record of 12 bytes: bitmap of those with a list, and the number of the first list."""
    padded = np.zeros(-(-present.size // 64) * 64, bool)
    padded[: present.size] = present
    bitmaps = np.packbits(padded.reshape(-1, 64), axis=1, bitorder="little")
    before = np.concatenate([[0], np.cumsum(padded.reshape(-1, 64).sum(1))[:-1]]).astype("<u4")
    return np.hstack([bitmaps, before.view(np.uint8).reshape(-1, 4)]).reshape(-1)
