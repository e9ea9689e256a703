"""XXH64, the checksum of every file and section (Collet, https://github.com/Cyan4973/xxHash, specification 0.1.1).

Chosen because it reads several bytes a cycle: one posting list can be checked when it is first used, without being
felt.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np
from numba import njit, types

from lexlip.index.kernel import inlined

_PRIME_1 = np.uint64(11400714785074694791)
_PRIME_2 = np.uint64(14029467366897019727)
_PRIME_3 = np.uint64(1609587929392839161)
_PRIME_4 = np.uint64(9650029242287828579)
_PRIME_5 = np.uint64(2870177450012600261)
READ_ONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


@inlined
def _rotate(value, bits):
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@inlined
def _round(lane, word):
    return _rotate(lane + word * _PRIME_2, 31) * _PRIME_1


@inlined
def _merge(total, lane):
    return (total ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4


@njit(types.uint64(READ_ONLY_BYTES, types.int64, types.int64), cache=True, nogil=True)
def xxh64(data, start, end):
    """XXH64 with seed 0 of `data[start:end]`.

    Args:
        data: [bytes] uint8, read-only.
        start: first byte.
        end: one past the last byte.
    """
    size = end - start
    words = data[start : start + (size >> 3 << 3)].view(np.uint64)
    index = np.uint64(0)  # unsigned, so that no negative index has to be looked after
    if size >= 32:
        lane_1 = _PRIME_1 + _PRIME_2
        lane_2 = _PRIME_2
        lane_3 = np.uint64(0)
        lane_4 = np.uint64(0) - _PRIME_1
        for _ in range(size >> 5):
            lane_1 = _round(lane_1, words[index])
            lane_2 = _round(lane_2, words[index + np.uint64(1)])
            lane_3 = _round(lane_3, words[index + np.uint64(2)])
            lane_4 = _round(lane_4, words[index + np.uint64(3)])
            index += np.uint64(4)
        total = _rotate(lane_1, 1) + _rotate(lane_2, 7) + _rotate(lane_3, 12) + _rotate(lane_4, 18)
        total = _merge(_merge(_merge(_merge(total, lane_1), lane_2), lane_3), lane_4)
    else:
        total = _PRIME_5
    total += np.uint64(size)
    while index < np.uint64(words.size):
        total = _rotate(total ^ _round(np.uint64(0), words[index]), 27) * _PRIME_1 + _PRIME_4
        index += np.uint64(1)
    at = start + (size >> 3 << 3)
    if at + 4 <= end:
        half = np.uint64(0)
        for byte in range(4):
            half |= np.uint64(data[at + byte]) << np.uint64(8 * byte)
        total = _rotate(total ^ (half * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        at += 4
    while at < end:
        total = _rotate(total ^ (np.uint64(data[at]) * _PRIME_5), 11) * _PRIME_1
        at += 1
    total = (total ^ (total >> np.uint64(33))) * _PRIME_2
    total = (total ^ (total >> np.uint64(29))) * _PRIME_3
    return total ^ (total >> np.uint64(32))


def checksum(data: bytes | memoryview | np.ndarray) -> int:
    """XXH64 of a whole buffer."""
    view = np.frombuffer(data, np.uint8).view()
    view.flags.writeable = False
    return int(xxh64(view, 0, view.size))


def checksum_text(data: bytes | memoryview | np.ndarray) -> str:
    """XXH64 of a whole buffer as 16 hex digits."""
    return f"{checksum(data):016x}"
