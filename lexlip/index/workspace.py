"""Memory of one search, made once, so that the kernels that work in it make none."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from typing import NamedTuple

import numpy as np

from lexlip.index.kernel import inlined
from lexlip.index.layout import BLOCK_DOCUMENTS, GROUP_BLOCKS, WORD_BLOCKS

WAVE = 8  # groups opened, and blocks scored, at a time: enough for their loads to overlap


class Workspace(NamedTuple):
    """What the kernels of a search write to.

    Attributes:
        block_bounds: [8 x groups] uint16, see `bounds.add_gap_lists`.
        group_bounds: [groups] uint16; 0 once a group was opened.
        sequence: [lists] int64, the order in which lists are added.
        candidates: [blocks or lists, what is more] int64 heap of keys (bound, block).
        wave: [8] int64 groups that are opened, or keys of blocks that are scored, together.
        bits, marks: [8, lists] int64, where the postings of a wave's blocks are, and the marks of their entries.
        bounds_left: [64] int64, what can still be added to the blocks of a swept word.
        scores: [64 x 64] int32, of the documents of a swept word, or in front those of a wave.
        spread: [8] uint64, in which the bitmap of a block is spread.
        best: [k] int64 heap of the keys of the best hits, the lowest in front; 0 where there is none yet.
    """

    block_bounds: np.ndarray
    group_bounds: np.ndarray
    sequence: np.ndarray
    candidates: np.ndarray
    wave: np.ndarray
    bits: np.ndarray
    marks: np.ndarray
    bounds_left: np.ndarray
    scores: np.ndarray
    spread: np.ndarray
    best: np.ndarray


@inlined
def make_workspace(groups, lists, k):
    """Memory for a search of a shard of `groups` for the k best."""
    return Workspace(
        np.zeros(GROUP_BLOCKS * groups, np.uint16),
        np.empty(groups, np.uint16),
        np.empty(lists, np.int64),
        np.empty(max(groups * GROUP_BLOCKS, lists), np.int64),
        np.empty(WAVE, np.int64),
        np.empty((WAVE, lists), np.int64),
        np.empty((WAVE, lists), np.int64),
        np.empty(WORD_BLOCKS, np.int64),
        np.empty(WORD_BLOCKS * BLOCK_DOCUMENTS, np.int32),
        np.empty(BLOCK_DOCUMENTS // 8, np.uint64),
        np.zeros(k, np.int64),
    )
