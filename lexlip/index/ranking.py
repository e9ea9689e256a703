"""The k best so far, and candidates by falling bound: two small binary heaps over int64 keys."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.kernel import inlined, lean_kernel

_POSITION_MASK = np.int64(0xFFFFFFFF)


@inlined
def hit_key(score, position):
    """A key that is greater for a higher score and, at equal scores, for a lower position."""
    return (np.int64(score) << 32) | (_POSITION_MASK - np.int64(position))


@inlined
def key_score(key):
    """The score in a key."""
    return key >> 32


@inlined
def key_position(key):
    """The position in a key of a hit."""
    return _POSITION_MASK - (key & _POSITION_MASK)


@lean_kernel
def replace_lowest(best, key):
    """Puts `key` in the place of the lowest key of `best` [k] int64, a heap with the lowest in front."""
    size = best.size
    hole = 0
    child = 1
    while child < size:
        if child + 1 < size and best[child + 1] < best[child]:
            child += 1
        if best[child] >= key:
            break
        best[hole] = best[child]
        hole = child
        child = 2 * hole + 1
    best[hole] = key


@lean_kernel
def _sink(heap, size, hole):
    """Moves the key at `hole` down to its place in a heap with the highest in front."""
    key = heap[hole]
    child = 2 * hole + 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[hole] = heap[child]
        hole = child
        child = 2 * hole + 1
    heap[hole] = key


@lean_kernel
def make_heap(heap, size):
    """Orders the first `size` keys as a heap with the highest in front."""
    for hole in range(size // 2 - 1, -1, -1):
        _sink(heap, size, hole)


@lean_kernel
def add_key(heap, size, key):
    """Adds a key to a heap of `size` keys with the highest in front; there must be room."""
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 1
        if heap[parent] >= key:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = key


@lean_kernel
def take_highest(heap, size):
    """Returns the highest of `size` keys and leaves a heap of the others."""
    highest = heap[0]
    heap[0] = heap[size - 1]
    _sink(heap, size - 1, 0)
    return highest
