"""The arrays of a comparison's corpus: real vectors, then drawn ones, written once and mapped into memory.

Drawn documents are mixtures of the real distractors, the same for both models. Whatever lies in a folder under its
final name is whole.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from lexlip.errors import DataError
from lexlip.evaluation.drawn_vectors import Mixtures, draw_mixtures, joint_neighbours, mix_dense, mix_lexicon
from lexlip.evaluation.sparse_rows import SparseRows
from pipelines.compared_sides import Encoded
from pipelines.comparison_settings import CompareSettings
from pipelines.vector_parts import write_json

MOST_SOURCES = 8192  # their neighbours are found by comparing all with all
ROWS_AT_ONCE = 16_384


def write_corpus(folder: Path, known: Encoded, answers: int, settings: CompareSettings) -> int:
    """Writes the arrays unless they are there; `corpus.json` comes last. Returns the number of sources."""
    record_file = folder / "corpus.json"
    if record_file.is_file():
        return int(json.loads(record_file.read_text(encoding="utf-8"))["sources"])
    folder.mkdir(parents=True, exist_ok=True)
    real = len(known.ids)
    drawn = max(settings.images - real, 0)
    sources, mixtures = np.empty(0, np.int64), None
    if drawn:
        if real == answers:
            raise DataError(
                f"--images {settings.images}: {drawn:,} documents would have to be drawn, and there is no distractor "
                "to draw them from; give --photos or --texts, or --held-out 0.5"
            )
        chosen = np.random.default_rng([settings.seed, 2]).permutation(np.arange(answers, real))[:MOST_SOURCES]
        sources = np.sort(chosen)
        print(f"compare: drawing {drawn:,} documents from {len(sources):,} real distractors", flush=True)
        neighbours = joint_neighbours(known.dense[sources], _alike(known, sources))
        mixtures = draw_mixtures(neighbours, drawn, settings.seed)
    _write_dense(folder / "dense.npy", known.dense, sources, mixtures)
    _write_lexicon(folder, known, sources, mixtures)
    write_json(
        record_file,
        {
            "documents": real + drawn,
            "answers": answers,
            "real": real - answers,
            "drawn": drawn,
            "sources": len(sources),
            "seed": settings.seed,
        },
    )
    return len(sources)


def _write_dense(file: Path, known_SE: np.ndarray, sources: np.ndarray, mixtures: Mixtures | None) -> None:
    drawn = len(mixtures) if mixtures is not None else 0
    temporary = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    mapped = open_memmap(temporary, "w+", np.float32, (len(known_SE) + drawn, known_SE.shape[1]))
    mapped[: len(known_SE)] = known_SE
    if mixtures is not None:
        sources_SE = np.ascontiguousarray(known_SE[sources])
        for first in range(0, drawn, ROWS_AT_ONCE):
            part = mixtures.between(first, min(first + ROWS_AT_ONCE, drawn))
            mapped[len(known_SE) + first : len(known_SE) + first + len(part)] = mix_dense(sources_SE, part)
    mapped.flush()
    temporary.replace(file)


def _write_lexicon(folder: Path, known: Encoded, sources: np.ndarray, mixtures: Mixtures | None) -> None:
    parts = [known.lexicon]
    if mixtures is not None:
        rows = _alike(known, sources)
        parts += [
            mix_lexicon(rows, mixtures.between(first, min(first + ROWS_AT_ONCE, len(mixtures))))
            for first in range(0, len(mixtures), ROWS_AT_ONCE)
        ]
    rows = SparseRows.concatenate(parts)
    for name in ("starts", "terms", "weights"):
        save_array(folder / f"{name}.npy", getattr(rows, name))


def _alike(known: Encoded, sources: np.ndarray) -> SparseRows:
    """Lexicon vectors that others are drawn from, of unit length as the dense ones: none weighs more in a mixture."""
    return known.take(sources).lexicon.scaled_to_unit_length()


def map_rows(folder: Path) -> SparseRows:
    """The lexicon vectors of a written corpus, mapped into memory."""
    starts, terms, weights = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("starts", "terms", "weights"))
    return SparseRows(np.asarray(starts), terms, weights)


def save_array(file: Path, values: np.ndarray) -> None:
    """Writes an array under a temporary name and publishes it by rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    with temporary.open("wb") as opened:
        np.save(opened, values)
    temporary.replace(file)


def kept_array(file: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What an earlier run computed, or computes and keeps it."""
    if not file.is_file():
        save_array(file, compute())
    return np.load(file)
