"""Queries drawn at random, with what both systems answer and the words that made LexLIP's scores."""

from collections.abc import Mapping, Sequence

import numpy as np

from lexlip.data.images import ImageLimits, decode_image
from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import BadImage
from lexlip.index import Index
from lexlip.model.saving import load_model
from lexlip.report.results import FLAT, LEXLIP, ExampleHit, ExampleQuery
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary
from pipelines.compared_sides import Rivals
from pipelines.comparison_corpus import ComparisonCorpus
from pipelines.comparison_settings import CompareSettings
from pipelines.corpus_sides import thumbnail
from pipelines.lexlip_rivals import open_index
from pipelines.rival_systems import RivalSystem

SHOWN_HITS = 5
SMALLEST_SHARE = 0.005  # below half a percent a word is not worth reading
THUMBNAIL_PIXELS = 160


def choose_examples(
    corpus: ComparisonCorpus,
    rivals: Rivals,
    main: RivalSystem,
    found: Mapping[str, np.ndarray],
    settings: CompareSettings,
) -> tuple[ExampleQuery, ...]:
    """The first questions, each about another picture: they were drawn at random, hits and misses alike.

    Args:
        corpus: documents and questions.
        rivals: where pictures are.
        main: LexLIP in its main setting.
        found: answers of the main LexLIP setting and of flat CLIP.
        settings: how many.
    """
    chosen = _different(corpus, settings.examples)
    if not chosen:
        return ()
    pictures = settings.direction == "text-to-image"
    shown = {int(position) for hits in found.values() for number in chosen for position in hits[number][:SHOWN_HITS]}
    if pictures:
        wanted = {corpus.known.ids[position] for position in shown if 0 <= position < len(corpus.known.ids)}
        locations = (rivals.data, *rivals.photos)
    else:
        wanted, locations = {corpus.questions.ids[number] for number in chosen}, (rivals.data,)
    thumbnails = _thumbnails(locations, wanted)
    setting = main.setting
    terms, bits, cut = setting["document_terms"], setting["impact_bits"], setting["query_terms"]
    index = open_index(corpus.documents, "all" if terms == "all" else int(terms), int(bits))
    vocabulary = load_model(rivals.lexlip).vocabulary
    questions = corpus.questions.lexicon if cut == "all" else corpus.questions.cut(int(cut))
    examples = []
    for number in chosen:
        question = questions[number]
        words = [_words(index, int(position), question, vocabulary) for position in found[LEXLIP][number][:SHOWN_HITS]]
        examples.append(
            ExampleQuery(
                text=corpus.questions.texts[number],
                lexlip=_hits(corpus, number, found[LEXLIP], thumbnails, pictures, words),
                clip=_hits(corpus, number, found[FLAT], thumbnails, pictures, [()] * SHOWN_HITS),
                thumbnail=None if pictures else thumbnails.get(corpus.questions.ids[number]),
            )
        )
    return tuple(examples)


def _different(corpus: ComparisonCorpus, count: int) -> list[int]:
    """The first questions with different right answers."""
    seen: set[int] = set()
    chosen: list[int] = []
    for number, right in enumerate(corpus.questions.right):
        if len(chosen) < count and int(right[0]) not in seen:
            seen.add(int(right[0]))
            chosen.append(number)
    return chosen


def _hits(
    corpus: ComparisonCorpus,
    number: int,
    found: np.ndarray,
    thumbnails: Mapping[str, bytes],
    pictures: bool,
    words: Sequence[tuple[tuple[str, float], ...]],
) -> tuple[ExampleHit, ...]:
    hits = []
    for position, parts in zip(found[number][:SHOWN_HITS].tolist(), words, strict=False):
        if position >= 0:
            real = position < len(corpus.known.ids)
            key = corpus.id_of(position)
            hits.append(
                ExampleHit(
                    id=key,
                    right=bool(np.isin(position, corpus.questions.right[number])),
                    thumbnail=thumbnails.get(key) if pictures else None,
                    caption=corpus.known.captions[position][0] if real and not pictures else None,
                    words=parts,
                )
            )
    return tuple(hits)


def _words(
    index: Index, position: int, question: LexiconVector, vocabulary: Vocabulary
) -> tuple[tuple[str, float], ...]:
    if position < 0:
        return ()
    parts = index.contributions(position, question.terms, question.weights)
    shares = parts / parts.sum()
    heaviest = [place for place in np.argsort(-shares, kind="stable") if shares[place] >= SMALLEST_SHARE]
    return tuple((vocabulary.term_of(int(question.terms[place])), float(shares[place])) for place in heaviest)


def _thumbnails(locations: Sequence[str], wanted: set[str]) -> dict[str, bytes]:
    """Small JPEGs of the pictures with these ids; those that cannot be decoded have none."""
    found: dict[str, bytes] = {}
    for location in locations:
        for unit in open_pairs(location, captions_required=False).units:
            if len(found) == len(wanted):
                return found
            for table in read_unit(unit):
                for row, key in enumerate(table["image_id"].to_pylist()):
                    if key in wanted and key not in found:
                        try:
                            picture = decode_image(table["image"][row].as_py(), ImageLimits())
                        except BadImage:
                            continue
                        found[key] = thumbnail(picture, THUMBNAIL_PIXELS)
    return found
