"""BM25 over what people wrote about the pictures: one caption asks, the others of its picture are the text to find."""

import os
from dataclasses import dataclass

import bm25s
import numpy as np

from lexlip.evaluation.recall import Recall, ranks_in_hits
from lexlip.evaluation.timing import TimedSystem
from pipelines.comparison_corpus import ComparisonCorpus
from pipelines.comparison_settings import HITS
from pipelines.extra_captions import words_of

FEWEST_CAPTIONS = 2


@dataclass(frozen=True)
class CaptionSearch:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over pictures with at least two captions.

    Attributes:
        documents: how many pictures.
        queries: how many of them ask; each with its first caption, which is not part of its text.
        recall: of all of them.
        timed: one query at a time, words already found.
    """

    documents: int
    queries: int
    recall: Recall
    timed: TimedSystem


def caption_search(corpus: ComparisonCorpus) -> CaptionSearch | None:
    """Indexes the captions of all real documents; None when none has two."""
    captions = [[list(words_of(text)) for text in texts] for texts in corpus.known.captions]
    described = [number for number, texts in enumerate(captions) if len(texts) >= FEWEST_CAPTIONS and texts[0]]
    asking = [place for place, number in enumerate(described) if number < corpus.answers]
    if not asking:
        return None
    engine = bm25s.BM25()
    engine.index(
        [[word for text in captions[number][1:] for word in text] for number in described], show_progress=False
    )
    queries = [captions[described[place]][0] for place in asking]
    k = min(HITS, len(described))

    def search(first: int, last: int) -> None:
        for number in range(first, last):
            engine.retrieve([queries[number % len(queries)]], k=k, show_progress=False)

    hits, _ = engine.retrieve(queries, k=k, show_progress=False, n_threads=len(os.sched_getaffinity(0)))
    ranks = ranks_in_hits(list(np.asarray(hits)), [np.array([place]) for place in asking])
    return CaptionSearch(len(described), len(queries), Recall.of_ranks(ranks), TimedSystem(search))
