"""`lexlip search` and `lexlip explain`: queries in words or pictures, answered by an index on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from lexlip.commands.location_argument import LocationArgument
from lexlip.errors import DataError, ModelError, QueryError
from lexlip.index import Index, fuse, said_pieces
from lexlip.model.query_lookup import QueryLookup
from lexlip.storage import Location
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lexlip.model.lexlip import LexLIP

QUERY_TERMS = 32  # as many as serving searches
WORDS_SHOWN = 4  # per hit: what a person takes in at a glance
CAPTION_WIDTH = 60  # characters of a caption in a line


@dataclass(frozen=True)
class Search:
    """Find the pictures for a text, or those like a picture.

    Attributes:
        query: words to search for; with --image, the path of a picture.
        index: folder or URL of the index.
        model: the model that made its vectors.
        lookup: a query lookup instead of the model: texts only, at once, for less recall.
        image: the query is a picture.
        k: how many hits.
        query_terms: terms of the query that are searched, those that together say most.
        captions: share of the pictures' captions in the score, 0 to 1; the index must have them.
        json: print one JSON object a hit.
    """

    query: tyro.conf.Positional[str]
    index: LocationArgument
    model: Path | None = None
    lookup: Path | None = None
    image: bool = False
    k: int = 10
    query_terms: int = QUERY_TERMS
    captions: float = 0.0
    json: bool = False

    def run(self) -> int:
        """Prints the hits, best first, each with the words that it was found by."""
        index, encoder = self._open()
        vocabulary = encoder.vocabulary
        lexicon = encode_query(encoder, self.query, self.image, self.query_terms)
        said = lexicon if self.image else said_pieces(vocabulary, self.query)
        query = fuse(lexicon, said, index.captions, self.captions)
        hits = index.search(query.terms, query.weights, self.k)
        for position, score, stored in zip(
            hits.positions.tolist(), hits.scores.tolist(), index.stored(hits.positions.tolist()), strict=True
        ):
            shares = word_shares(index, position, query, vocabulary)
            if self.json:
                record = {
                    "id": stored["id"],
                    "score": score,
                    "captions": stored.get("captions"),
                    "words": {share.word: share.contribution for share in shares if not share.said},
                    "caption_words": {share.word: share.contribution for share in shares if share.said},
                }
                print(json.dumps(record, ensure_ascii=False))
            else:
                words = " ".join(share.label for share in shares[:WORDS_SHOWN])
                caption = next(iter(stored.get("captions") or ()), "") or ""
                print(f"{score:.4f}  {stored['id']}  {caption[:CAPTION_WIDTH]}  [{words}]")
        return 0

    def _open(self) -> tuple[Index, LexLIP | QueryLookup]:
        if (self.model is None) == (self.lookup is None):
            raise QueryError("give one of --model and --lookup")
        if self.model is not None:
            return open_both(self.index, self.model)
        if self.lookup is None or self.image:
            raise QueryError("a lookup knows words only; give --model to search with a picture")
        index, lookup = Index.open(self.index), QueryLookup.load(self.lookup)
        lookup.vocabulary.require_same(index.manifest.vocabulary_fingerprint, f"the index {self.index}")
        return index, lookup


@dataclass(frozen=True)
class Explain:
    """Say why a picture is found for a query: what each word adds to the score.

    Attributes:
        id: of the picture.
        query: words to search for; with --image, the path of a picture.
        index: folder or URL of the index.
        model: the model that made its vectors.
        image: the query is a picture.
        query_terms: terms of the query that are searched, those that together say most.
        captions: share of the pictures' captions in the score, 0 to 1; the index must have them.
    """

    id: tyro.conf.Positional[str]
    query: tyro.conf.Positional[str]
    index: LocationArgument
    model: Path
    image: bool = False
    query_terms: int = QUERY_TERMS
    captions: float = 0.0

    def run(self) -> int:
        """Prints the words' contributions, largest first, then what each side has that the other lacks."""
        index, model = open_both(self.index, self.model)
        position = position_of(index, self.id, self.index)
        vector = encode_query(model, self.query, self.image, self.query_terms)
        said = vector if self.image else said_pieces(model.vocabulary, self.query)
        shares = word_shares(index, position, fuse(vector, said, index.captions, self.captions), model.vocabulary)
        total = sum(share.contribution for share in shares)
        print(f"score {total:.4f} = sum of query weight x picture weight over {len(shares)} shared word(s)")
        for share in shares:
            print(f"{share.contribution:.4f}  {share.contribution / total:6.1%}  {share.label}")
        picture = index.vector(position)
        for side, own, other in (("query", vector, picture), ("picture", picture, vector)):
            alone = np.isin(own.terms, other.terms, invert=True)
            words = model.decode(LexiconVector(own.terms[alone], own.weights[alone]))
            print(f"only in the {side}: " + (", ".join(f"{word} {weight:.2f}" for word, weight in words) or "nothing"))
        return 0


def open_both(index_folder: Location, model_folder: Path) -> tuple[Index, LexLIP]:
    """An index and the model of its vectors.

    Raises:
        ModelError: the index was made by another model.
    """
    from lexlip.model.lexlip import LexLIP  # here: torch takes seconds to load, and a wrong path should not

    index = Index.open(index_folder)
    model = LexLIP.from_pretrained(model_folder)
    model.vocabulary.require_same(index.manifest.vocabulary_fingerprint, f"the index {index_folder}")
    if model.fingerprint != index.manifest.model_fingerprint:
        raise ModelError(
            f"{index_folder} holds vectors of model {index.manifest.model_fingerprint}, {model_folder} is model "
            f"{model.fingerprint}: scores between them mean nothing. Encode the pictures again, or give the other one."
        )
    return index, model


def encode_query(encoder: LexLIP | QueryLookup, query: str, image: bool, terms: int) -> LexiconVector:
    """The vector of a text or, by a model, of an image file.

    Raises:
        DataError: no such file.
        QueryError: a text without any known word.
    """
    if image and not isinstance(encoder, QueryLookup):
        if not Path(query).is_file():
            raise DataError(f"{query}: no such picture")
        (vector,) = encoder.encode_image([Path(query).read_bytes()], top_terms=terms)
    else:
        (vector,) = encoder.encode_text([query], top_terms=terms)
    if not len(vector):
        raise QueryError(f"{query!r} has no word with any weight; say it in other words")
    return vector


def position_of(index: Index, id: str, folder: Location) -> int:
    """Where a document is.

    Raises:
        QueryError: there is none with this id.
    """
    position = index.position_of(id)
    if position is None:
        raise QueryError(f"{folder}: no document has the id {id!r}")
    return position


@dataclass(frozen=True)
class WordShare:
    """What one word adds to a score; `said` in the captions, or else a word of the picture's lexicon vector."""

    word: str
    contribution: float
    said: bool

    @property
    def label(self) -> str:
        """The word; in quotation marks if captions say it."""
        return f'"{self.word}"' if self.said else self.word


def word_shares(index: Index, position: int, query: LexiconVector, vocabulary: Vocabulary) -> list[WordShare]:
    """The words that a document shares with a query, and what each adds to the score, largest first."""
    parts = index.contributions(position, query.terms, query.weights)
    fields, terms = np.divmod(query.terms, len(vocabulary))
    return [
        WordShare(vocabulary.term_of(int(terms[at])), float(parts[at]), bool(fields[at]))
        for at in np.argsort(-parts, kind="stable")
        if parts[at] > 0
    ]
