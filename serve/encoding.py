"""The gateway's side of encoding: texts by their encoder or by a lookup, pictures by theirs.

A call of an encoder has a deadline, and one retry after a death.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import numpy as np
from ray.serve.exceptions import BackPressureError

from lexlip.errors import BadImage, LexLIPError, QueryError
from lexlip.model.query_lookup import QueryLookup
from lexlip.tables import LexiconVector
from serve.clock import StageClock
from serve.encoders import Encoded, ModelFacts
from serve.fanout import DEATHS

FORWARD = "forward"  # the stage that encoders measure: a forward pass, without the call and the decoding around it


class UnavailableError(LexLIPError):
    """The service cannot answer now; asking again later may help."""


class TextSource(Protocol):
    """What makes vectors of texts."""

    async def vector(self, text: str, clock: StageClock) -> LexiconVector:
        """The vector of a text; a forward pass is a stage of `clock`."""

    async def check(self) -> None:
        """Raises `UnavailableError` when no vector can be made now."""


class LookedUpTexts:
    """Texts by a table of weights: no network, no call to another process."""

    def __init__(self, lookup: QueryLookup, terms: int) -> None:
        """Args: `terms` is how many of a text's heaviest terms are searched."""
        self._lookup, self._terms = lookup, terms

    async def vector(self, text: str, clock: StageClock) -> LexiconVector:
        """The vector of a text."""
        return self._lookup.encode_text([text], top_terms=self._terms)[0]

    async def check(self) -> None:
        """A table is always there."""


class EncodedTexts:
    """Texts by the text encoder behind its Serve handle, with a memory of recent ones."""

    def __init__(self, encoder: Any, deadline_s: float, remembered: int) -> None:
        """Args: `remembered` is how many encoded texts are kept, the least recently used one giving way."""
        # A handle makes a new one for a method every time it is asked for it.
        self._encode, self._describe = encoder.encode, encoder.describe
        self._deadline_s = deadline_s
        self._remembered = remembered
        self._memory: OrderedDict[str, LexiconVector] = OrderedDict()

    async def vector(self, text: str, clock: StageClock) -> LexiconVector:
        """The vector of a text, from memory when it was asked for before."""
        if text in self._memory:
            self._memory.move_to_end(text)
            return self._memory[text]
        encoded = await call_encoder(lambda: self._encode.remote(text), self._deadline_s)
        vector = vector_of(encoded, QueryError, clock)
        self._memory[text] = vector
        if len(self._memory) > self._remembered:
            self._memory.popitem(last=False)
        return vector

    async def check(self) -> None:
        """Raises `UnavailableError` when the encoder does not answer in time."""
        await call_encoder(self._describe.remote, self._deadline_s)


class Encoding:
    """Vectors of texts and pictures, and heat maps."""

    def __init__(self, texts: TextSource, image_encoder: Any, deadline_s: float) -> None:
        """Args: `image_encoder` is a Serve handle; it also says which model is served."""
        self._texts = texts
        self._encode, self._heat, self._describe = image_encoder.encode, image_encoder.heat, image_encoder.describe
        self._deadline_s = deadline_s

    async def describe(self) -> ModelFacts:
        """The fingerprints of the served model; waits as long as the model takes to load."""
        return await self._describe.remote()

    async def check(self) -> None:
        """Raises `UnavailableError` when an encoder does not answer in time."""
        await asyncio.gather(self._texts.check(), call_encoder(self._describe.remote, self._deadline_s))

    async def text(self, text: str, clock: StageClock) -> LexiconVector:
        """The vector of a text; a forward pass is a stage of `clock`."""
        return await self._texts.vector(text, clock)

    async def image(self, data: bytes, clock: StageClock) -> LexiconVector:
        """The vector of a picture. Raises `BadImage` when it cannot be decoded."""
        return vector_of(await call_encoder(lambda: self._encode.remote(data), self._deadline_s), BadImage, clock)

    async def heat(self, data: bytes, terms: tuple[int, ...]) -> np.ndarray:
        """[rows, columns] float32, 0 to 1: where on a picture any of the terms is said."""
        heat = await call_encoder(lambda: self._heat.remote(data, terms), self._deadline_s)
        if heat is None:
            raise BadImage("the stored picture cannot be decoded.")
        return heat


def vector_of(encoded: Encoded, refusal: type[LexLIPError], clock: StageClock) -> LexiconVector:
    """The vector that an encoder made, or the reason why it did not, as an error."""
    if encoded.vector is None:
        raise (UnavailableError if encoded.failed else refusal)(encoded.problem)
    clock.elsewhere(FORWARD, encoded.forward_ms)
    return encoded.vector


async def call_encoder(call: Callable[[], Awaitable[Any]], deadline_s: float) -> Any:
    """Awaits a call, once more when the replica that worked on it died.

    Raises:
        UnavailableError: no answer within the deadline, or no replica that lives and has room.
    """
    try:
        async with asyncio.timeout(deadline_s):
            try:
                return await call()
            except DEATHS:
                return await call()
    except TimeoutError as error:
        raise UnavailableError(f"the encoder did not answer within {deadline_s:g} s.") from error
    except (*DEATHS, BackPressureError) as error:
        raise UnavailableError("the encoder is restarting or overloaded.") from error
