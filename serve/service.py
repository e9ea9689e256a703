"""One search from request to answer: encode, ask the shards, merge, read stored fields, explain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lexlip.errors import LexLIPError, QueryError
from lexlip.vocabulary import Vocabulary
from serve.clock import StageClock
from serve.corpus import Corpus
from serve.encoding import Encoding
from serve.explaining import explain_hit
from serve.fanout import Outcome, Reply, ask_all
from serve.filters import FieldFilter, parse_filters
from serve.generations import GenerationKeeper
from serve.merging import Ranking, merge
from serve.metrics import GatewayMetrics
from serve.queries import Query, pieces_of, query_of_terms, query_of_vector, with_captions
from serve.schemas import (
    EncodeAnswer,
    HeatAnswer,
    HitAnswer,
    Matched,
    QueryAnswer,
    SearchAnswer,
    SearchOptions,
    ShardCounts,
    WordsAnswer,
)
from serve.settings import ServeSettings
from serve.shards import ShardAnswer, ShardQuery, places_of_groups

# A request follows the index to newer generations this many times before the shards that moved on count as failed.
GENERATION_TRIES = 5
# The rest of it is for what comes before and after: encoding, merging, writing the answer.
SHARDS_PART_OF_DEADLINE = 0.9
# Turns of the event loop in which a query goes out to the shards; what can wait is done after them. With three it is
# still there, and what was meant to be done meanwhile holds it up: a search took 3.1 ms, and 2.5 with eight or twelve.
SENDING_TURNS = 8


class UnknownImageError(LexLIPError):
    """The corpus has no such picture."""


class IncompleteError(LexLIPError):
    """A complete answer was required, and shards are missing."""


class SearchService:
    """What the gateway does, apart from HTTP."""

    def __init__(
        self,
        settings: ServeSettings,
        vocabulary: Vocabulary,
        keeper: GenerationKeeper[Corpus],
        encoding: Encoding,
        shards: Sequence[Any],
        metrics: GatewayMetrics,
    ) -> None:
        """Args: `shards` are the handles of the shard deployments, in the order of their groups."""
        self.settings = settings
        self.vocabulary = vocabulary
        self.keeper = keeper
        self.encoding = encoding
        # A handle makes a new one for a method every time it is asked for it.
        self._searches = [shard.search for shard in shards]
        self.descriptions = [shard.describe for shard in shards]
        self.metrics = metrics

    async def search_text(self, text: str, options: SearchOptions) -> SearchAnswer:
        """Pictures for words."""
        with self.metrics.timed("search") as clock:
            vector = await self.encoding.text(text, clock)
            query = query_of_vector(self.vocabulary, vector, text)
            clock.lap("encode")
            return await self._answer(query, options, clock, text=text)

    async def search_image(self, data: bytes, options: SearchOptions) -> SearchAnswer:
        """Pictures like an uploaded one. Raises `BadImage` when it cannot be decoded."""
        with self.metrics.timed("search") as clock:
            query = query_of_vector(self.vocabulary, await self.encoding.image(data, clock))
            clock.lap("encode")
            return await self._answer(query, options, clock)

    async def search_like(self, identifier: str, options: SearchOptions) -> SearchAnswer:
        """Pictures like one of the corpus, which is left out itself. Raises `UnknownImageError`."""
        with self.metrics.timed("search") as clock:
            corpus, position = self._find(identifier)
            vector = await asyncio.to_thread(corpus.vector, position, self.settings.query_terms)
            query = query_of_vector(self.vocabulary, vector)
            clock.lap("encode")
            return await self._answer(query, options, clock, image_id=identifier)

    async def search_terms(self, terms: dict[str, float], options: SearchOptions) -> SearchAnswer:
        """Pictures for weighted terms. Raises `QueryError` for words that the vocabulary lacks."""
        with self.metrics.timed("search") as clock:
            query = query_of_terms(self.vocabulary, terms)
            clock.lap("encode")
            return await self._answer(query, options, clock)

    async def encode_text(self, text: str) -> EncodeAnswer:
        """The lexicon vector of a text."""
        with self.metrics.timed("encode") as clock:
            query = query_of_vector(self.vocabulary, await self.encoding.text(text, clock), text)
            clock.lap("encode")
            return EncodeAnswer(**self._echo(query), took_ms=clock.milliseconds())

    async def encode_image(self, data: bytes) -> EncodeAnswer:
        """The lexicon vector of an uploaded picture. Raises `BadImage`."""
        with self.metrics.timed("encode") as clock:
            query = query_of_vector(self.vocabulary, await self.encoding.image(data, clock))
            clock.lap("encode")
            return EncodeAnswer(**self._echo(query), took_ms=clock.milliseconds())

    def thumbnail(self, identifier: str) -> tuple[bytes, str]:
        """The stored picture of a document and its media type. Raises `UnknownImageError`."""
        corpus, position = self._find(identifier)
        found = corpus.thumbnail(position)
        if found is None:
            raise UnknownImageError(
                f"no picture is stored for {identifier!r}; pipelines/encode.py stores them as thumbnails."
            )
        return found

    async def words(self, identifier: str, count: int) -> WordsAnswer:
        """A picture's own heaviest terms. Raises `UnknownImageError`."""
        with self.metrics.timed("words") as clock:
            corpus, position = self._find(identifier)
            vector = await asyncio.to_thread(corpus.vector, position, count)
            terms = self._terms(vector.terms.tolist(), vector.weights.tolist())
            clock.lap("stored")
        return WordsAnswer.model_validate({"id": identifier, "terms": terms, "generation": corpus.number})

    async def heat(self, identifier: str, word: str) -> HeatAnswer:
        """Where on a picture a word comes from. Raises `UnknownImageError`, `QueryError`, `BadImage`."""
        with self.metrics.timed("heat") as clock:
            pieces = pieces_of(self.vocabulary, word)
            data, _ = self.thumbnail(identifier)
            clock.lap("stored")
            heat = await self.encoding.heat(data, pieces)
            clock.lap("heat")
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        return HeatAnswer(
            id=identifier,
            term=word,
            rows=heat.shape[0],
            columns=heat.shape[1],
            values=heat.tolist(),
            peak=(row, column),
        )

    async def _answer(
        self,
        query: Query,
        options: SearchOptions,
        clock: StageClock,
        text: str | None = None,
        image_id: str | None = None,
    ) -> SearchAnswer:
        filters = parse_filters(options.filters)
        wanted = options.k + (image_id is not None)  # the picture itself is left out
        (corpus, query, ranking, counts), echo = await asyncio.gather(
            self._rank(query, options.captions, filters, wanted, clock),
            self._echo_meanwhile(query, text, image_id),
        )
        if options.require_complete and counts.ok < counts.total:
            raise IncompleteError(
                f"{counts.total - counts.ok} of {counts.total} shards did not answer "
                f"({counts.timed_out} timed out, {counts.failed} failed), and a complete answer was required."
            )
        found = zip(ranking.positions.tolist(), ranking.scores.tolist(), corpus.hits(ranking.positions), strict=True)
        kept = [(position, score, hit) for position, score, hit in found if hit[0] != image_id][: options.k]
        hits = [
            HitAnswer(id=identifier, score=score, fields=fields, matched=None)
            for _, score, (identifier, fields) in kept
        ]
        clock.lap("stored")
        if options.explain:
            for (position, _, _), hit in zip(kept, hits, strict=True):
                parts = corpus.contributions(position, query.terms, query.weights)
                hit.matched = [
                    Matched(word=share.word, contribution=share.contribution, share=share.share, field=share.field)
                    for share in explain_hit(query.words, parts)
                ]
            clock.lap("explain")
        return SearchAnswer(
            query=echo, hits=hits, shards=counts, generation=corpus.number, took_ms=clock.milliseconds()
        )

    async def _rank(
        self, query: Query, captions: float, filters: tuple[FieldFilter, ...], k: int, clock: StageClock
    ) -> tuple[Corpus, Query, Ranking, ShardCounts]:
        """Asks all shards for one generation; follows to a newer one when a shard can no longer get it.

        What words of captions weigh follows from a generation's statistics: all shards are asked the same.
        """
        unfused = query
        waited_ms = self.settings.deadline_ms * SHARDS_PART_OF_DEADLINE
        deadline = asyncio.get_running_loop().time() + waited_ms / 1000
        for attempt in range(GENERATION_TRIES):
            corpus = self.keeper.current
            query = with_captions(unfused, corpus.captions, captions)
            if not len(query):
                everything = len(corpus.index.manifest.shards)
                return (
                    corpus,
                    query,
                    Ranking.empty(),
                    ShardCounts(total=everything, ok=everything, timed_out=0, failed=0),
                )
            remaining = deadline - asyncio.get_running_loop().time()
            asked = ShardQuery(
                corpus.state,
                query.terms,
                query.weights,
                k,
                tuple(word.terms for word in query.excluded),
                filters,
            )
            replies = await ask_all(self._searches, (asked,), max(remaining, 0.0), self.metrics.retries.inc)
            answers = [reply.value for reply in replies if reply.outcome is Outcome.OK]
            problem = next((answer.problem for answer in answers if answer.problem), None)
            if problem:
                raise QueryError(problem)
            # The slowest shard's: the others were searched at the same time.
            clock.elsewhere("engine", max((answer.engine_ms for answer in answers), default=0.0))
            moved_on = any(answer.ranking is None for answer in answers)
            if not moved_on or attempt == GENERATION_TRIES - 1:
                break
            await asyncio.to_thread(self.keeper.refresh)
            if self.keeper.current.state == corpus.state:
                break
        clock.lap("search")
        ranking = merge([answer.ranking for answer in answers if answer.ranking is not None], k)
        counts = self._count(corpus, replies)
        clock.lap("merge")
        return corpus, query, ranking, counts

    def _count(self, corpus: Corpus, replies: Sequence[Reply]) -> ShardCounts:
        counts = dict.fromkeys(Outcome, 0)
        places = places_of_groups(len(corpus.index.manifest.shards), len(replies))
        for held, reply in zip(places, replies, strict=True):
            answer: ShardAnswer | None = reply.value
            outcome = Outcome.FAILED if answer is not None and answer.ranking is None else reply.outcome
            counts[outcome] += len(held)
        for outcome, shards in counts.items():
            if shards:
                self.metrics.asked(outcome.value, shards)
        return ShardCounts(
            total=sum(counts.values()),
            ok=counts[Outcome.OK],
            timed_out=counts[Outcome.TIMED_OUT],
            failed=counts[Outcome.FAILED],
        )

    def _find(self, identifier: str) -> tuple[Corpus, int]:
        corpus = self.keeper.current
        position = corpus.position_of(identifier)
        if position is None:
            raise UnknownImageError(f"the corpus has no picture with the id {identifier!r}.")
        return corpus, position

    def _terms(self, terms: Sequence[int], weights: Sequence[float]) -> list[dict[str, Any]]:
        heaviest = sorted(zip(weights, terms, strict=True), key=lambda pair: (-pair[0], pair[1]))
        return [{"term": self.vocabulary.term_of(term), "weight": weight} for weight, term in heaviest]

    async def _echo_meanwhile(self, query: Query, text: str | None, image_id: str | None) -> QueryAnswer:
        """What was asked, put into words while the shards search."""
        for _ in range(SENDING_TURNS):
            await asyncio.sleep(0)
        return QueryAnswer(text=text, image_id=image_id, **self._echo(query))

    def _echo(self, query: Query) -> dict[str, Any]:
        # Plain values: pydantic makes its models of all of them at once sooner than each could be made here.
        term_of, terms = self.vocabulary.term_of, query.terms.tolist()
        words = [
            {"word": word.word, "weight": word.weight, "terms": [term_of(terms[column]) for column in word.columns]}
            for word in query.words
        ]
        words += [
            {"word": word.word, "weight": word.weight, "terms": [term_of(term) for term in word.terms]}
            for word in query.excluded
        ]
        return {"terms": self._terms(terms, query.weights.tolist()), "words": words}
