"""The gateway's side of the encoders: a deadline, one retry after a death, and a memory of recent texts."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from ray.serve.exceptions import BackPressureError

from lexlip.errors import BadImage, LexLIPError, QueryError
from lexlip.tables import LexiconVector
from serve.clock import StageClock
from serve.encoders import Encoded, ModelFacts
from serve.fanout import DEATHS

FORWARD = "forward"  # the stage that encoders measure: a forward pass, without the call and the decoding around it


class UnavailableError(LexLIPError):
    """The service cannot answer now; asking again later may help."""


class Encoding:
    """Text and image encoders behind their Serve handles."""

    def __init__(self, text_encoder: Any, image_encoder: Any, deadline_s: float, remembered: int) -> None:
        """Args: `remembered` is how many encoded texts are kept, the least recently used one giving way."""
        # A handle makes a new one for a method every time it is asked for it.
        self._encode_text, self._encode_image = text_encoder.encode, image_encoder.encode
        self._describe_text, self._describe_image = text_encoder.describe, image_encoder.describe
        self._heat = image_encoder.heat
        self._deadline_s = deadline_s
        self._remembered = remembered
        self._memory: OrderedDict[str, LexiconVector] = OrderedDict()

    async def describe(self) -> ModelFacts:
        """The fingerprints of the served model; waits as long as the model takes to load."""
        return await self._describe_text.remote()

    async def check(self) -> None:
        """Raises `UnavailableError` when one of the encoders does not answer in time."""
        await asyncio.gather(self._call(self._describe_text.remote), self._call(self._describe_image.remote))

    async def text(self, text: str, clock: StageClock) -> LexiconVector:
        """The vector of a text, from memory when it was asked for before; a forward pass is a stage of `clock`."""
        if text in self._memory:
            self._memory.move_to_end(text)
            return self._memory[text]
        vector = await self._vector(lambda: self._encode_text.remote(text), QueryError, clock)
        self._memory[text] = vector
        if len(self._memory) > self._remembered:
            self._memory.popitem(last=False)
        return vector

    async def image(self, data: bytes, clock: StageClock) -> LexiconVector:
        """The vector of a picture. Raises `BadImage` when it cannot be decoded."""
        return await self._vector(lambda: self._encode_image.remote(data), BadImage, clock)

    async def heat(self, data: bytes, terms: tuple[int, ...]) -> np.ndarray:
        """[rows, columns] float32, 0 to 1: where on a picture any of the terms is said."""
        heat = await self._call(lambda: self._heat.remote(data, terms))
        if heat is None:
            raise BadImage("the stored picture cannot be decoded.")
        return heat

    async def _vector(
        self, call: Callable[[], Awaitable[Encoded]], refusal: type[LexLIPError], clock: StageClock
    ) -> LexiconVector:
        encoded: Encoded = await self._call(call)
        if encoded.vector is None:
            raise (UnavailableError if encoded.failed else refusal)(encoded.problem)
        clock.elsewhere(FORWARD, encoded.forward_ms)
        return encoded.vector

    async def _call(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._deadline_s):
                try:
                    return await call()
                except DEATHS:
                    return await call()
        except TimeoutError as error:
            raise UnavailableError(f"the encoder did not answer within {self._deadline_s:g} s.") from error
        except (*DEATHS, BackPressureError) as error:
            raise UnavailableError("the encoder is restarting or overloaded.") from error
