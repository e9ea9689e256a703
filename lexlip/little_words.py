"""Terms that nearly every caption has and that say nothing of a picture: little words and marks of punctuation."""

from lexlip.vocabulary import Vocabulary

# English ones; captions in other languages keep theirs, which costs places among a vector's heaviest terms and no more.
LITTLE_WORDS = (
    "a an and are as at be been being by for from has have he her him his in into is it its of off on or out over she "
    "that the their them there these they this to up was were which while who with"
)


def little_terms(vocabulary: Vocabulary) -> frozenset[int]:
    """Ids of `LITTLE_WORDS` and of the terms that hold no letter or digit."""
    little = set(LITTLE_WORDS.split())
    return frozenset(
        number
        for number, term in enumerate(vocabulary.terms)
        if term in little or not any(sign.isalnum() for sign in term)
    )
