"""Text and image encoders: dynamic batches through one model per replica; a bad item is refused before its batch."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lexlip.data.images import ImageLimits, decode_image
from lexlip.errors import BadImage, ModelError
from lexlip.tables import LexiconVector
from serve.batching import Batcher
from serve.metrics import EncoderMetrics
from serve.settings import ServeSettings
from serve.short_work import ShortWork

if TYPE_CHECKING:
    from lexlip.model.lexlip import LexLIP

logger = logging.getLogger("ray.serve")

LARGEST_BATCH = 32
# Pictures decoded at a time: each may be as large as the pixel limit.
DECODING_THREADS = 2


@dataclass(frozen=True)
class Encoded:
    """A lexicon vector, or the reason why there is none; and what the forward pass of its batch took.

    `failed` tells a fault of this process (out of memory, a lost device) from something wrong with the item.
    """

    vector: LexiconVector | None = None
    problem: str | None = None
    failed: bool = False
    forward_ms: float = 0.0


@dataclass(frozen=True)
class ModelFacts:
    """What a model must share with an index to search it."""

    model_fingerprint: str
    vocabulary_fingerprint: str


def encode_each(forward: Callable[[Sequence[Any]], list[LexiconVector]], items: Sequence[Any]) -> list[Encoded]:
    """One outcome per item: a batch that fails is taken apart, so that only the item at fault carries the problem."""
    try:
        return [Encoded(vector) for vector in forward(items)]
    except (RuntimeError, ValueError, ModelError) as error:
        if len(items) == 1:
            failed = isinstance(error, RuntimeError)
            if failed:
                logger.exception("a forward pass failed")
            return [Encoded(problem=f"the model cannot encode it: {error}", failed=failed)]
        return [outcome for item in items for outcome in encode_each(forward, [item])]


class _Encoder:
    """What both encoders share: the model, which computes one thing at a time, and its metrics."""

    def __init__(self, settings: ServeSettings, name: str) -> None:
        # Imported here, in the replica: whoever builds the graph or runs the gateway needs no torch.
        from lexlip.model.saving import load_model

        model: Any = load_model(settings.model, device=settings.device)
        if not hasattr(model, "decode"):
            raise ModelError(
                f"{settings.model}: a dense model; serving searches an inverted index and needs a LexLIP model."
            )
        self._model: LexLIP = model
        # Reads all weights: once, not at every look whether the service is ready.
        self._facts = ModelFacts(model.fingerprint, model.vocabulary.fingerprint)
        self._settings = settings
        self._metrics = EncoderMetrics(name)
        self._forward_pass = ShortWork(ThreadPoolExecutor(1, thread_name_prefix="forward"))

    async def describe(self) -> ModelFacts:
        """The fingerprints of model and vocabulary."""
        return self._facts

    async def _run(
        self, forward: Callable[[Sequence[Any]], list[LexiconVector]], items: Sequence[Any]
    ) -> list[Encoded]:
        outcomes = await self._forward_pass.run(partial(self._timed, forward, items))
        self._metrics.passed(len(items), outcomes[0].forward_ms)
        return outcomes

    @staticmethod
    def _timed(forward: Callable[[Sequence[Any]], list[LexiconVector]], items: Sequence[Any]) -> list[Encoded]:
        started = time.perf_counter()
        outcomes = encode_each(forward, items)
        forward_ms = (time.perf_counter() - started) * 1000
        return [replace(outcome, forward_ms=forward_ms) for outcome in outcomes]


class TextEncoder(_Encoder):
    """Texts to lexicon vectors."""

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__(settings, "text")
        self._batched: Batcher[str, Encoded] = Batcher(partial(self._run, self._forward), LARGEST_BATCH)
        self._forward(["warm up"])

    def _forward(self, texts: Sequence[str]) -> list[LexiconVector]:
        return self._model.encode_text(list(texts), top_terms=self._settings.query_terms, batch_size=LARGEST_BATCH)

    async def encode(self, text: str) -> Encoded:
        """The vector of one text; batched with whatever else arrives meanwhile."""
        return await self._batched(text)


class ImageEncoder(_Encoder):
    """Pictures to lexicon vectors, and where on a picture a word comes from."""

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__(settings, "image")
        self._limits = ImageLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_image_pixels)
        self._decoding_threads = ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="decode")
        self._batched: Batcher[np.ndarray, Encoded] = Batcher(partial(self._run, self._forward), LARGEST_BATCH)
        size = self._model.preprocessing.size
        self._forward([np.zeros((3, size, size), np.uint8)])

    def _forward(self, pixels: Sequence[np.ndarray]) -> list[LexiconVector]:
        return self._model.encode_pixels(np.stack(pixels), top_terms=self._settings.query_terms)

    def _pixels(self, data: bytes) -> np.ndarray:
        size = self._model.preprocessing.size
        return self._model.preprocessing.pixels(self._decoded(data, at_least=size))

    def _decoded(self, data: bytes, at_least: int | None = None) -> Image.Image:
        started = time.perf_counter()
        try:
            return decode_image(data, self._limits, at_least)
        finally:
            self._metrics.decode.observe((time.perf_counter() - started) * 1000)

    async def encode(self, data: bytes) -> Encoded:
        """The vector of one picture (JPEG, PNG or WebP bytes), or why it cannot be decoded."""
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self._decoding_threads, self._pixels, data)
        except BadImage as error:
            self._metrics.refused.inc()
            return Encoded(problem=str(error))
        return await self._batched(pixels)

    async def heat(self, data: bytes, terms: tuple[int, ...]) -> np.ndarray | None:
        """[rows, columns] float32, 0 to 1: how strongly each patch says any of the terms; None when undecodable."""
        try:
            return await self._forward_pass.run_unusual(partial(self._heat, data, terms))
        except BadImage:
            self._metrics.refused.inc()
            return None

    def _heat(self, data: bytes, terms: tuple[int, ...]) -> np.ndarray:
        heat = self._model.term_map(self._decoded(data), terms)
        return heat / heat.max() if heat.max() > 0 else heat
