"""The gateway replica: HTTP in front, handles of encoders and shards behind, and an eye on the index."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from ray import serve

from lexlip.model.query_lookup import QueryLookup
from lexlip.vocabulary import Vocabulary
from serve.api import build_api
from serve.corpus import Corpus
from serve.encoding import EncodedTexts, Encoding, LookedUpTexts, TextSource
from serve.generations import GenerationKeeper
from serve.hops import cheap
from serve.metrics import GatewayMetrics
from serve.service import SearchService
from serve.settings import ServeSettings

logger = logging.getLogger("ray.serve")


@serve.ingress()
class Gateway:
    """FastAPI ingress. Starts only when the index was made with the served model."""

    # Serve awaits the constructor; it has to ask the encoder which model it holds.
    async def __init__(  # type: ignore[misc]
        self,
        settings: ServeSettings,
        key_digest: bytes | None,
        text_encoder: Any | None,
        image_encoder: Any,
        *shards: Any,
    ) -> None:
        """Args: `text_encoder` is None where texts are looked up."""
        images, *ranking = [cheap(handle) for handle in (image_encoder, *shards)]
        self._metrics = GatewayMetrics()
        vocabulary = Vocabulary.load(settings.model)
        deadline_s = settings.encode_deadline_ms / 1000
        if text_encoder is None:
            lookup = QueryLookup.load(settings.lookup)
            lookup.vocabulary.require_same(vocabulary.fingerprint, f"the model in {settings.model}")
            texts: TextSource = LookedUpTexts(lookup, settings.query_terms)
        else:
            texts = EncodedTexts(cheap(text_encoder), deadline_s, settings.cached_queries)
        encoding = Encoding(texts, images, deadline_s)
        facts = await encoding.describe()
        vocabulary.require_same(facts.vocabulary_fingerprint, f"the model in {settings.model}")
        self._keeper = GenerationKeeper(
            settings.index, lambda: Corpus.open(settings.index, facts), settings.kept_generations
        )
        self._service = SearchService(settings, vocabulary, self._keeper, encoding, ranking, self._metrics)
        self._guard = {"settings": settings, "key_digest": key_digest, "metrics": self._metrics}
        self._watcher = asyncio.create_task(self._watch_index(settings.swap_check_s))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self._service, self._guard)

    async def _watch_index(self, seconds: float) -> None:
        refused = None
        while True:
            await asyncio.sleep(seconds)
            if await asyncio.to_thread(self._keeper.refresh):
                self._metrics.swaps.inc()
                logger.info("serving generation %d of the index", self._keeper.current.number)
            if self._keeper.refused != refused:
                refused = self._keeper.refused
                logger.error("the published generation is not served: %s", refused)
