"""Building FAISS indexes with settings that its users recommend, in a time that is known beforehand."""

import math
import os
import time
from pathlib import Path

import faiss
import numpy as np

from pipelines.comparison_corpus import Documents

LINKS = 32  # of an HNSW node and layer
LISTS_PER_ROOT = 4  # inverted lists for each square root of the documents, FAISS's own advice up to a million
LEAST_PER_LIST = 39  # training vectors; FAISS warns below
MOST_PER_LIST = 50
MOST_PARTS = 64  # of a product quantiser: bytes a vector
CODES = 256  # of each part
ROWS_AT_ONCE = 50_000
HNSW_ROWS_AT_ONCE = 5_000
PROGRESS_SECONDS = 20.0


class LeftOut(Exception):
    """An index is not built."""


def build_flat(documents: Documents, file: Path) -> int:
    """Measures what copying the vectors takes; nothing is written, the vectors themselves are on disk."""
    flat = faiss.IndexFlatIP(documents.dense.shape[1])
    flat.add(np.asarray(documents.dense))
    return flat.ntotal * flat.code_size


def build_quantised(documents: Documents, file: Path, *, kind: int) -> int:
    """Every component in 16 bits, or in 8 bits between the smallest and the largest."""
    index = faiss.IndexScalarQuantizer(documents.dense.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    index.train(_sample(documents.dense, ROWS_AT_ONCE))
    _add(index, documents.dense)
    return _write(index, file)


def build_hnsw(documents: Documents, file: Path, *, construction: int, minutes: float) -> int:
    """A graph of 32 links.

    Raises:
        LeftOut: it would take more than `minutes`. An insertion takes longer the more there is, by the logarithm; the
            estimate follows the latest insertions.
    """
    count = len(documents)
    index = faiss.IndexHNSWFlat(documents.dense.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = construction
    began = said = now = time.perf_counter()
    for first in range(0, count, HNSW_ROWS_AT_ONCE):
        rows, before = np.asarray(documents.dense[first : first + HNSW_ROWS_AT_ONCE]), now
        index.add(rows)
        now = time.perf_counter()
        growth = math.log(count) / math.log(max(index.ntotal, 2))
        whole = now - began + (count - index.ntotal) * growth * (now - before) / len(rows)
        if whole > 60 * minutes:
            raise LeftOut(
                f"building it over {count:,} vectors would take more than {whole / 60:.0f} minutes here, "
                f"--hnsw-minutes allows {minutes:g}"
            )
        if now - said > PROGRESS_SECONDS:
            said = now
            print(f"compare: HNSW has {index.ntotal:,} of {count:,}, about {whole / 60:.0f} minutes in all", flush=True)
    return _write(index, file)


def build_inverted_file(documents: Documents, file: Path) -> int:
    """Inverted lists of float vectors around k-means centroids."""
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(documents.dense.shape[1]),
        documents.dense.shape[1],
        _lists(len(documents)),
        faiss.METRIC_INNER_PRODUCT,
    )
    index.train(_sample(documents.dense, index.nlist * MOST_PER_LIST))
    _add(index, documents.dense)
    return _write(index, file)


def build_product_quantised(documents: Documents, file: Path) -> int:
    """Inverted lists of product-quantised residuals: a byte a part.

    Raises:
        LeftOut: too few vectors to train on.
    """
    count, width = documents.dense.shape
    if count < CODES:
        raise LeftOut(f"a product quantiser needs {CODES} vectors to train on, here are {count}")
    index = faiss.IndexIVFPQ(
        faiss.IndexFlatIP(width), width, _lists(count), product_parts(width), 8, faiss.METRIC_INNER_PRODUCT
    )
    index.train(_sample(documents.dense, max(index.nlist * MOST_PER_LIST, CODES * MOST_PER_LIST)))
    _add(index, documents.dense)
    return _write(index, file)


def product_parts(width: int) -> int:
    """The largest number of equal parts, at most 64, that a vector falls into."""
    return max(parts for parts in range(1, MOST_PARTS + 1) if width % parts == 0)


def _lists(documents: int) -> int:
    return max(1, min(int(LISTS_PER_ROOT * documents**0.5), documents // LEAST_PER_LIST))


def _sample(dense_NE: np.ndarray, count: int) -> np.ndarray:
    """Rows spread evenly over all."""
    return np.ascontiguousarray(dense_NE[:: max(1, len(dense_NE) // count)][:count])


def _add(index: faiss.Index, dense_NE: np.ndarray) -> None:
    for first in range(0, len(dense_NE), ROWS_AT_ONCE):
        index.add(np.asarray(dense_NE[first : first + ROWS_AT_ONCE]))


def _write(index: faiss.Index, file: Path) -> int:
    temporary = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    faiss.write_index(index, str(temporary))
    temporary.replace(file)
    return file.stat().st_size
