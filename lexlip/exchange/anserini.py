"""Anserini's JsonVectorCollection: one object a line with integer impacts, for Lucene's inverted index.

    {"id": "photo-1", "contents": "a dog runs", "vector": {"dog": 212, "run": 90}}

Index with `-collection JsonVectorCollection -impact -pretokenized`; with 8 bits nothing is lost, as impacts are the
index's own. Seismic reads the same lines when they call the text `content` (`lines_of(..., text_field="content")`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lexlip.exchange.output_files import empty_folder, write_lines
from lexlip.index.contents import read_contents
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

LARGEST_QUERY_IMPACT = 100  # Anserini repeats a query's terms as often as they weigh, so a query may not weigh much


def lines_of(index: Path, vocabulary: Vocabulary, text_field: str = "contents") -> Iterator[Iterator[dict[str, Any]]]:
    """For each shard the objects of its documents.

    Args:
        index: the index folder.
        vocabulary: of the index.
        text_field: name of the field with the captions.
    """
    for contents in read_contents(index):
        yield (
            {
                "id": document.id,
                text_field: " ".join(caption for caption in document.stored.get("captions") or () if caption),
                "vector": {
                    vocabulary.term_of(term): impact
                    for term, impact in zip(document.terms.tolist(), document.impacts.tolist(), strict=True)
                },
            }
            for document in contents.documents()
        )


def export_anserini(index: Path, out: Path, vocabulary: Vocabulary) -> int:
    """Writes `documents-00000.jsonl`, one file a shard; returns the number of documents."""
    empty_folder(out)
    shards = lines_of(index, vocabulary)
    return sum(write_lines(out / f"documents-{number:05d}.jsonl", lines) for number, lines in enumerate(shards))


def export_seismic(index: Path, out: Path, vocabulary: Vocabulary) -> int:
    """Writes one `documents.jsonl` for `seismic.SeismicIndex.build`; returns the number of documents."""
    empty_folder(out)
    shards = lines_of(index, vocabulary, text_field="content")
    return write_lines(out / "documents.jsonl", (line for lines in shards for line in lines))


def anserini_query(vector: LexiconVector, vocabulary: Vocabulary) -> str:
    """A query for a topics file: its terms, each as often as its weight has parts of 1/100 of the heaviest one's."""
    shares = vector.weights / max(float(vector.weights.max(initial=0)), np.finfo(np.float32).tiny)
    counts = np.maximum(np.rint(shares * LARGEST_QUERY_IMPACT), 1).astype(int)
    words = (vocabulary.term_of(int(term)) for term in vector.terms)
    return " ".join(word for word, count in zip(words, counts.tolist(), strict=True) for _ in range(count))
