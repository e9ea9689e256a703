"""The systems that are compared, each over the same corpus: LexLIP's index and FAISS over the dense twin's vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from lexlip.evaluation.recall import Recall, ranks_in_hits
from lexlip.evaluation.retrieval import RightAnswers
from lexlip.evaluation.timing import TimedSystem
from lexlip.index import Index
from lexlip.tables import LexiconVector

# FAISS 1.15 uses BLAS for a flat batch only from 128,000 queries on; from 20 on it is about nine times faster.
BLAS_THRESHOLD = 20
BATCH = 256


@dataclass(frozen=True)
class RivalSystem:
    """One system in one setting.

    Attributes:
        name: of the system, such as "lexlip" or "faiss-flat".
        setting: what distinguishes it from others of the same name.
        bytes_per_image: size of its index.
        timed: how it is called.
        positions: best documents of every query, as positions in the common corpus.
    """

    name: str
    setting: dict[str, str | int]
    bytes_per_image: float
    timed: TimedSystem
    positions: Callable[[], Sequence[np.ndarray]]

    def recall(self, right: RightAnswers) -> Recall:
        """Recall of text to image over all queries."""
        return Recall.of_ranks(ranks_in_hits(self.positions(), right.of_captions))


def lexlip_systems(
    index: Index, queries: Sequence[LexiconVector], query_terms: Sequence[int | None], k: int, threads: int
) -> list[RivalSystem]:
    """The index at several cuts of the queries, one query at a time, and uncut queries in batches.

    Args:
        index: the opened index; its positions are the common corpus.
        queries: one vector per caption.
        query_terms: the cuts; None leaves the queries whole.
        k: hits asked for.
        threads: threads of a batch.
    """
    bits = int(index.manifest.settings["impact_bits"])
    size = index.bytes / index.documents
    systems = []
    for cut in query_terms:
        kept = [query if cut is None else query.top(cut) for query in queries]
        setting: dict[str, str | int] = {"query_terms": "all" if cut is None else cut, "impact_bits": bits}
        systems.append(_lexlip(index, kept, k, setting, size))
    whole = list(queries)
    setting = {"query_terms": "all", "impact_bits": bits, "batch": BATCH}
    timed = TimedSystem(lambda first, last: index.search_batch(whole[first:last], k, threads=threads), BATCH)
    systems.append(RivalSystem("lexlip", setting, size, timed, lambda: _hits(index, whole, k)))
    return systems


def faiss_systems(images_IE: np.ndarray, queries_QE: np.ndarray, k: int, threads: int) -> list[RivalSystem]:
    """FAISS flat over [I, E] image vectors: exact inner products, one query at a time and in batches through BLAS."""
    faiss.omp_set_num_threads(threads)
    faiss.cvar.distance_compute_blas_threshold = BLAS_THRESHOLD
    flat = faiss.IndexFlatIP(images_IE.shape[1])
    flat.add(images_IE)
    size = 4.0 * images_IE.shape[1]
    systems = []
    for batch in (1, BATCH):
        setting: dict[str, str | int] = {"dimensions": images_IE.shape[1]}
        if batch > 1:
            setting["batch"] = batch
        timed = TimedSystem(lambda first, last: flat.search(queries_QE[first:last], k), batch)
        systems.append(RivalSystem("faiss-flat", setting, size, timed, lambda: list(flat.search(queries_QE, k)[1])))
    return systems


def _lexlip(
    index: Index, queries: list[LexiconVector], k: int, setting: dict[str, str | int], size: float
) -> RivalSystem:
    def search(first: int, last: int) -> None:
        for query in queries[first:last]:
            index.search(query.terms, query.weights, k)

    return RivalSystem("lexlip", setting, size, TimedSystem(search), lambda: _hits(index, queries, k))


def _hits(index: Index, queries: Sequence[LexiconVector], k: int) -> list[np.ndarray]:
    return [hits.positions for hits in index.search_batch(queries, k)]
