"""One query over both fields of an index: the lexicon's weights and the words of captions, with a share for each.

    score = (1 - share) x lexicon + share x BM25 / the most that BM25 can reach for these words

The lexicon's part is the product of a query of unit length and a picture's vector, which is about as long and twice at
the most. So both parts begin at 0 and end near 1, whatever the query and the corpus, and a share means the same
everywhere. Both are sums over terms, so the engine's exact top k is that of the fused score, and every term's part can
be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lexlip.errors import QueryError
from lexlip.index.caption_statistics import CaptionStatistics
from lexlip.index.query import LARGEST_QUERY
from lexlip.tables import LexiconVector

if TYPE_CHECKING:
    from lexlip.vocabulary import Vocabulary


def said_pieces(vocabulary: Vocabulary, text: str) -> LexiconVector:
    """The pieces of a text and how often it says each; what the vocabulary cannot spell is left out."""
    pieces = np.array(vocabulary.cut([text])[0], np.int32)
    terms, counts = np.unique(pieces, return_counts=True)
    return LexiconVector(terms, counts.astype(np.float32))


def fuse(
    lexicon: LexiconVector, said: LexiconVector, statistics: CaptionStatistics | None, share: float
) -> LexiconVector:
    """The query of both fields, to be searched and explained like any other.

    Args:
        lexicon: weights of the vocabulary's terms, as the model gives them to a text or a picture.
        said: terms of the vocabulary to look for in captions, and how much each counts: `said_pieces` of a text, or a
            picture's own lexicon vector.
        statistics: `Index.captions`.
        share: of captions in the score, 0 to 1. 0 gives the lexicon alone, its weights as they are.

    Returns:
        terms below the field's `first_term` ask the lexicon, the others captions; at most as many as a query may have,
        the lightest words of captions left out.

    Raises:
        QueryError: a share outside of 0 to 1, or captions are asked for that the index does not have.
    """
    if not 0 <= share <= 1:
        raise QueryError(f"captions is {share}; it must be 0 to 1, the share of captions in the score.")
    if share == 0:
        return lexicon
    if statistics is None:
        raise QueryError(
            "this index has no captions to search in: leave captions at 0, or build the index with captions "
            "(`python pipelines/encode.py --captions`)."
        )
    own_share = LexiconVector(np.empty(0, np.int32), np.empty(0, np.float32))
    if share < 1 and len(lexicon):
        length = np.linalg.norm(lexicon.weights.astype(np.float64))
        own_share = LexiconVector(lexicon.terms, (lexicon.weights * ((1 - share) / length)).astype(np.float32))
    amounts = said.weights * statistics.idf(said.terms)
    weights = share * amounts / amounts.sum() / statistics.field.full_weight
    captions = LexiconVector(said.terms + np.int32(statistics.field.first_term), weights.astype(np.float32))
    captions = captions.top(max(LARGEST_QUERY - len(own_share), 0))
    return LexiconVector(
        np.concatenate([own_share.terms, captions.terms]), np.concatenate([own_share.weights, captions.weights])
    )
