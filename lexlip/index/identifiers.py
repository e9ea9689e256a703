"""From an id to its position: sorted 64-bit hashes of the ids, searched in the mapped file."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np
import pyarrow as pa
from numba import njit, types

from lexlip.index.checksum import READ_ONLY_BYTES, xxh64


@njit(
    types.void(READ_ONLY_BYTES, types.Array(types.int64, 1, "C", readonly=True), types.uint64[::1]),
    cache=True,
    nogil=True,
)
def _hash_all(characters, starts, hashes):
    """`hashes[i]` becomes XXH64 of `characters[starts[i]:starts[i + 1]]`."""
    for row in range(hashes.size):
        hashes[row] = xxh64(characters, starts[row], starts[row + 1])


def hash_ids(ids: pa.Array) -> np.ndarray:
    """[N] uint64 hashes of an array of strings without nulls."""
    large = ids.cast(pa.large_string())
    _, offsets, characters = large.buffers()
    starts = np.frombuffer(offsets, np.int64)[large.offset : large.offset + len(large) + 1]
    content = (
        np.frombuffer(characters, np.uint8) if characters is not None and characters.size else np.zeros(1, np.uint8)
    )
    content = content.view()
    starts = starts.view()
    content.flags.writeable = starts.flags.writeable = False
    hashes = np.empty(len(large), np.uint64)
    _hash_all(content, starts, hashes)
    return hashes


def identifier_arrays(hashes: np.ndarray) -> dict[str, np.ndarray]:
    """The sections that find a position by the hash of its id.

    Args:
        hashes: [N] uint64 in the order of positions.
    """
    order = np.argsort(hashes, kind="stable")
    return {"hashes": hashes[order], "hash_positions": order.astype(np.uint32)}


def candidate_positions(hashes: np.ndarray, positions: np.ndarray, id: str) -> np.ndarray:
    """Positions whose id has the same hash as `id`; the stored id decides.

    Args:
        hashes: [N] uint64 ascending.
        positions: [N] uint32 beside them.
        id: what is looked for.
    """
    wanted = hash_ids(pa.array([id]))[0]
    return positions[np.searchsorted(hashes, wanted, "left") : np.searchsorted(hashes, wanted, "right")]
