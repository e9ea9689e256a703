"""Whether lexicon vectors can be read: do the heaviest terms of a picture occur in what people wrote about it?"""

from collections.abc import Sequence

from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

READ_TERMS = 10  # what a person looks at


def top_terms_in_captions(
    images: Sequence[LexiconVector],
    captions: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    count: int = READ_TERMS,
    left_out: frozenset[int] = frozenset(),
) -> float:
    """Mean share of an image's `count` heaviest terms that occur in its own captions, in percent.

    Args:
        images: N vectors.
        captions: N lists of captions; images without captions or without terms are left out of the mean.
        vocabulary: the model's.
        count: how many terms to look at.
        left_out: term ids that are passed over, as if images had no weight there.
    """
    shares = []
    for vector, texts in zip(images, captions, strict=True):
        ranked = [int(term) for term in vector.terms[vector.heaviest(len(vector))] if int(term) not in left_out]
        if not texts or not ranked:
            continue
        written = _written_terms(texts, vocabulary)
        heaviest = ranked[:count]
        shares.append(sum(term in written for term in heaviest) / len(heaviest))
    return round(100.0 * sum(shares) / max(len(shares), 1), 2)


def readable_terms(vector: LexiconVector, captions: Sequence[str], vocabulary: Vocabulary) -> str:
    """The ten heaviest terms of an image, heaviest first; those that occur in its captions in capitals."""
    written = _written_terms(captions, vocabulary)
    heaviest = vector.terms[vector.heaviest(READ_TERMS)]
    names = [(vocabulary.term_of(int(term)), int(term) in written) for term in heaviest]
    return " ".join(name.upper() if known else name for name, known in names)


def _written_terms(captions: Sequence[str], vocabulary: Vocabulary) -> set[int]:
    return {piece for text in captions for _, pieces in vocabulary.words_of(text) for piece in pieces}
