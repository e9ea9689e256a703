"""What an operator asks: is it alive, is it ready, what does it serve."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from fastapi import FastAPI, Response

from lexlip.errors import LexLIPError
from serve.corpus import Corpus
from serve.fanout import Outcome, Reply, ask_all
from serve.schemas import CaptionFacts, Health, StatsAnswer
from serve.service import SearchService

LOOK_SECONDS = 1.0  # a probe may be told what was true so long ago


@dataclass(frozen=True)
class Look:
    """What shards and encoders said of themselves; `problem` is the encoders'."""

    shards: list[Reply]
    problem: str | None


class Watch:
    """Asks shards and encoders how they are, at most once in `LOOK_SECONDS` however many ask for it.

    Probes are answered at any load, so they must not become one.
    """

    def __init__(self, service: SearchService) -> None:
        self._service = service
        self._looking: asyncio.Task[Look] | None = None
        self._began = 0.0

    async def look(self) -> Look:
        """The last look, or a new one."""
        now = asyncio.get_running_loop().time()
        if self._looking is None or (self._looking.done() and now - self._began >= LOOK_SECONDS):
            self._looking, self._began = asyncio.create_task(self._ask()), now
        return await asyncio.shield(self._looking)  # others wait for it too when this request is given up

    async def _ask(self) -> Look:
        service = self._service
        deadline_s = service.settings.deadline_ms / 1000
        shards = await ask_all(service.descriptions, (), deadline_s, service.metrics.retries.inc)
        try:
            await service.encoding.check()
        except LexLIPError as error:
            return Look(shards, str(error))
        return Look(shards, None)


def health_routes(api: FastAPI, service: SearchService) -> None:
    """Adds `/healthz`, `/readyz` and `/stats`."""
    watch = Watch(service)

    @api.get("/healthz", response_model=Health, summary="Is the gateway alive?")
    async def healthz() -> Health:
        return Health(status="ok")

    @api.get(
        "/readyz",
        response_model=Health,
        responses={503: {"model": Health}},
        summary="Can a search be answered completely?",
    )
    async def readyz(response: Response) -> Health:
        look = await watch.look()
        missing = [group for group, reply in enumerate(look.shards) if reply.outcome is not Outcome.OK]
        problem = f"shard deployment(s) {', '.join(map(str, missing))} do not answer." if missing else look.problem
        if problem:
            response.status_code = 503
        return Health(status="not ready" if problem else "ready", detail=problem)

    @api.get("/stats", response_model=StatsAnswer, summary="What is being served")
    async def stats() -> StatsAnswer:
        corpus = service.keeper.current
        manifest = corpus.index.manifest
        replies = (await watch.look()).shards
        return StatsAnswer(
            documents=manifest.documents,
            shards=len(manifest.shards),
            shard_documents=[entry.documents - entry.deleted for entry in manifest.shards],
            generation=manifest.generation,
            bytes=corpus.index.bytes,
            model_fingerprint=manifest.model_fingerprint,
            vocabulary_fingerprint=manifest.vocabulary_fingerprint,
            vocabulary_terms=len(service.vocabulary),
            stored_fields=corpus.stored_fields,
            captions=caption_facts(corpus),
            capacity=service.settings.capacity,
            refused_generation=service.keeper.refused,
            shard_deployments=[{"outcome": reply.outcome.value, **(reply.value or {})} for reply in replies],
        )


def caption_facts(corpus: Corpus) -> CaptionFacts | None:
    """What the index holds of captions."""
    statistics = corpus.captions
    if statistics is None:
        return None
    field, used = statistics.field, int(np.count_nonzero(statistics.frequencies))
    return CaptionFacts(
        documents=statistics.documents, terms=used, mean_length=field.mean_length, k1=field.k1, b=field.b
    )
