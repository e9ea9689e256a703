"""Reading request bodies: never more than the limit, whatever a client declares or sends."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.types import Message

JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
# The picture and the options; more parts than that are no request of ours.
MOST_FIELDS = 8

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; raises 413 as soon as it is larger than `limit` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise HTTPException(413, f"larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


def content_type(request: Request) -> str:
    """The media type alone, in lower case; raises 415 when it is none of ours."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON_TYPE, FORM_TYPE):
        raise HTTPException(415, f"expected {JSON_TYPE} or {FORM_TYPE}, not {kind or 'nothing'}.")
    return kind


def parse_json(body: bytes, model: type[Body]) -> Body:
    """The validated body; raises `RequestValidationError`, answered with 422."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error


async def parse_form(request: Request, body: bytes, model: type[Body]) -> tuple[bytes, Body]:
    """The bytes of the part `image`, and the other parts validated as options (`filters` is JSON).

    Raises:
        HTTPException: 400 for a malformed form, 422 without a picture or with a part that comes twice.
        RequestValidationError: an option that is not valid.
    """

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, replay).form(max_files=1, max_fields=MOST_FIELDS)
    except UnicodeError as error:  # of the charset that the client names: not all of Python's can decode a form
        raise HTTPException(400, f"not text in the charset that it names: {error}.") from error
    try:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise HTTPException(422, "image: a file part with this name is missing.")
        names = [name for name, _ in form.multi_items()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise HTTPException(422, f"{', '.join(twice)}: given more than once.")
        options: dict[str, Any] = {name: value for name, value in form.items() if name != "image"}
        if "filters" in options:
            options["filters"] = json.loads(str(options["filters"]))
        return await image.read(), model.model_validate(options)
    except RecursionError as error:
        raise HTTPException(422, "filters: nested too deeply.") from error
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
    except ValueError as error:  # no JSON, or a number of more digits than Python reads
        raise HTTPException(422, f"filters: not JSON: {error}.") from error
    finally:
        await form.close()
