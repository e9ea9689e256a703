"""Queries drawn at random, with what both systems answer and the words that made LexLIP's scores."""

import numpy as np

from lexlip.index import Index
from lexlip.report.results import ExampleHit, ExampleQuery
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary
from pipelines.encoded_pairs import EncodedPairs

SHOWN_HITS = 5
SMALLEST_SHARE = 0.005  # below half a percent a word is not worth reading


def choose_examples(
    index: Index, lexlip: EncodedPairs, clip: EncodedPairs, vocabulary: Vocabulary, count: int, seed: int
) -> tuple[ExampleQuery, ...]:
    """Draws captions, each of another image, and answers them.

    Args:
        index: LexLIP's index of the corpus.
        lexlip, clip: the same pairs, encoded by the two models.
        vocabulary: LexLIP's.
        count: how many queries.
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(lexlip.texts))
    images_IE, queries_QE = np.asarray(clip.images), np.asarray(clip.caption_vectors)
    seen: set[int] = set()
    examples: list[ExampleQuery] = []
    for number in drawn:
        image = int(lexlip.right.image_of_caption[number])
        if image in seen or len(examples) == count:
            continue
        seen.add(image)
        right_id = lexlip.image_ids[image]
        scores_I = images_IE @ queries_QE[number]
        best = np.argsort(-scores_I, kind="stable")[:SHOWN_HITS]
        clip_positions = [index.position_of(clip.image_ids[position]) for position in best]
        examples.append(
            ExampleQuery(
                text=lexlip.texts[number],
                lexlip=_lexlip_hits(index, lexlip.caption_vectors[number], vocabulary, right_id),
                clip=tuple(
                    _hit(row, right_id)
                    for row in index.stored([place for place in clip_positions if place is not None])
                ),
            )
        )
    return tuple(examples)


def _lexlip_hits(index: Index, query: LexiconVector, vocabulary: Vocabulary, right_id: str) -> tuple[ExampleHit, ...]:
    positions = index.search(query.terms, query.weights, SHOWN_HITS).positions.tolist()
    hits = []
    for position, row in zip(positions, index.stored(positions), strict=True):
        parts = index.contributions(position, query.terms, query.weights)
        shares = parts / parts.sum()
        heaviest = [place for place in np.argsort(-shares, kind="stable") if shares[place] >= SMALLEST_SHARE]
        words = tuple((vocabulary.term_of(int(query.terms[place])), float(shares[place])) for place in heaviest)
        hits.append(_hit(row, right_id, words))
    return tuple(hits)


def _hit(row: dict, right_id: str, words: tuple[tuple[str, float], ...] = ()) -> ExampleHit:
    return ExampleHit(row["id"], row.get("thumbnail"), row["id"] == right_id, words)
