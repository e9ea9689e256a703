"""The HTTP routes over a `SearchService`."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from lexlip.errors import BadImage, LexLIPError, QueryError
from serve.encoding import UnavailableError
from serve.guard import Guard
from serve.operating import health_routes
from serve.schemas import (
    CAPTIONS_SHARE,
    LARGEST_K,
    EncodeAnswer,
    EncodeRequest,
    HeatAnswer,
    Problem,
    SearchAnswer,
    SearchOptions,
    SearchRequest,
    Text,
    WordsAnswer,
)
from serve.service import IncompleteError, SearchService, UnknownImageError
from serve.uploads import FORM_TYPE, JSON_TYPE, content_type, parse_form, parse_json, read_body

PAGE = Path(__file__).parent / "page"
PAGE_PATHS = {"index.html": "/", "reference.html": "/docs"}
PAGE_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
PAGE_POLICY = "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; base-uri 'none'"
STATUS_OF: dict[type[LexLIPError], int] = {
    UnknownImageError: 404,
    QueryError: 422,
    BadImage: 422,
    UnavailableError: 503,
    IncompleteError: 503,
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "API key missing or wrong."},
    413: {"model": Problem, "description": "Body too large."},
    422: {"model": Problem, "description": "Not a valid request."},
    503: {"model": Problem, "description": "At capacity, or shards missing; see Retry-After."},
}
BODY_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    400: {"model": Problem, "description": "A malformed form."},
    415: {"model": Problem, "description": "Neither JSON nor a form."},
}
NO_PICTURE: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such picture."}}


class NoOptions(BaseModel):
    """A form that has nothing beside the picture."""


def build_api(service: SearchService, guard: dict[str, Any]) -> FastAPI:
    """The ASGI application; `guard` are the arguments of `Guard`."""
    api = FastAPI(
        title="LexLIP search",
        version=version("lexlip"),
        description="Search pictures with words, pictures or weighted terms; every hit says which words it matched.",
        docs_url=None,  # FastAPI's own page loads its scripts from the network; page/reference.html does not
        redoc_url=None,
    )
    api.add_middleware(Guard, **guard)
    _answer_problems(api, service.settings.retry_after_s)
    _page_routes(api)
    _search_routes(api, service)
    _image_routes(api, service)
    health_routes(api, service)
    return api


def _answer_problems(api: FastAPI, retry_after_s: int) -> None:
    @api.exception_handler(LexLIPError)
    async def of_ours(_: Request, error: LexLIPError) -> Response:
        status = next((status for kind, status in STATUS_OF.items() if isinstance(error, kind)), 500)
        headers = {"Retry-After": str(retry_after_s)} if status == 503 else None
        return _problem(status, str(error), headers)

    @api.exception_handler(RequestValidationError)
    async def of_request(_: Request, error: RequestValidationError) -> Response:
        lines = []
        for found in error.errors():
            place = ".".join(str(part) for part in found["loc"] if part not in ("query", "body", "path"))
            lines.append(f"{place}: {found['msg']}" if place else found["msg"])
        return _problem(422, "; ".join(lines))


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    # A detail may quote the request, whose text need not be encodable.
    safe = detail.encode("utf-8", "replace").decode("utf-8")
    return _json(Problem(detail=safe), status, headers)


def _json(answer: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.model_dump_json(), status, headers, media_type=JSON_TYPE)


def _page_routes(api: FastAPI) -> None:
    # Every file has a route of its own, read once: no path is ever made from a request.
    for file in sorted(PAGE.iterdir()):
        if file.suffix in PAGE_TYPES:
            path = PAGE_PATHS.get(file.name, f"/page/{file.name}")
            _add_page_file(api, path, file.read_bytes(), PAGE_TYPES[file.suffix])


def _add_page_file(api: FastAPI, path: str, content: bytes, kind: str) -> None:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}

    @api.get(path, include_in_schema=False)
    async def page_file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)


def _search_routes(api: FastAPI, service: SearchService) -> None:
    limit = service.settings.max_upload_bytes

    @api.get("/search", response_model=SearchAnswer, responses=PROBLEMS, summary="Search with words")
    async def search(
        q: Annotated[Text, Query(description="What to look for.")],
        k: int = Query(10, ge=1, le=LARGEST_K),
        explain: bool = False,
        require_complete: bool = False,
        captions: float = Query(0.0, ge=0, le=1, description=CAPTIONS_SHARE),
    ) -> Response:
        options = SearchOptions(k=k, explain=explain, require_complete=require_complete, captions=captions)
        return _json(await service.search_text(q, options))

    @api.post(
        "/search",
        response_model=SearchAnswer,
        responses={**BODY_PROBLEMS, **NO_PICTURE},
        summary="Search with words, a picture, a picture of the corpus, or weighted terms",
        openapi_extra=_body(SearchRequest, SearchOptions),
    )
    async def search_by(request: Request) -> Response:
        kind = content_type(request)
        body = await read_body(request, limit)
        if kind == FORM_TYPE:
            data, options = await parse_form(request, body, SearchOptions)
            return _json(await service.search_image(data, options))
        wanted = parse_json(body, SearchRequest)
        if wanted.text is not None:
            return _json(await service.search_text(wanted.text, wanted))
        if wanted.image_id is not None:
            return _json(await service.search_like(wanted.image_id, wanted))
        return _json(await service.search_terms(wanted.terms or {}, wanted))

    @api.post(
        "/encode",
        response_model=EncodeAnswer,
        responses=BODY_PROBLEMS,
        summary="The lexicon vector of a text or a picture",
        openapi_extra=_body(EncodeRequest, NoOptions),
    )
    async def encode(request: Request) -> Response:
        kind = content_type(request)
        body = await read_body(request, limit)
        if kind == FORM_TYPE:
            data, _ = await parse_form(request, body, NoOptions)
            return _json(await service.encode_image(data))
        return _json(await service.encode_text(parse_json(body, EncodeRequest).text))


def _image_routes(api: FastAPI, service: SearchService) -> None:
    missing = {**PROBLEMS, **NO_PICTURE}

    # Ids may hold slashes, so the longer routes come first.
    @api.get(
        "/images/{identifier:path}/words",
        response_model=WordsAnswer,
        responses=missing,
        summary="A picture's own top words",
    )
    async def words(identifier: str, count: int = Query(20, ge=1, le=LARGEST_K)) -> Response:
        return _json(await service.words(identifier, count))

    @api.get(
        "/images/{identifier:path}/heat",
        response_model=HeatAnswer,
        responses=missing,
        summary="Where a word is on a picture",
    )
    async def heat(identifier: str, term: str = Query(min_length=1, max_length=100)) -> Response:
        return _json(await service.heat(identifier, term))

    @api.get(
        "/images/{identifier:path}",
        response_class=Response,
        responses={**missing, 200: {"content": {"image/*": {}}, "description": "The stored picture."}},
        summary="A picture of the corpus",
    )
    async def image(identifier: str, request: Request) -> Response:
        data, kind = service.thumbnail(identifier)
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "private, max-age=300"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=kind)


def _body(json_model: type[BaseModel], form_model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a body that is JSON or an uploaded picture with options."""
    form = form_model.model_json_schema()
    properties = {"image": {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP."}}
    for name, described in form.get("properties", {}).items():
        properties[name] = {"type": "string", "description": "JSON object."} if name == "filters" else described
    upload = {"type": "object", "required": ["image"], "properties": properties}
    return {
        "requestBody": {
            "required": True,
            "content": {
                JSON_TYPE: {"schema": _inline(json_model.model_json_schema())},
                FORM_TYPE: {"schema": upload},
            },
        }
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without definitions of its own; ours have none, since requests nest no models."""
    if "$defs" in schema:
        raise ValueError(f"schema of {schema.get('title')} nests other models; OpenAPI needs them registered by name")
    return schema
