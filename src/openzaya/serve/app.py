"""The routes."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openzaya.errors import ZayaError
from openzaya.serve import control
from openzaya.serve.chat import Job
from openzaya.serve.errors import ApiError
from openzaya.serve.openapi import describe
from openzaya.serve.schema import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeRequest,
    parse,
)
from openzaya.serve.service import Service
from openzaya.serve.tools import with_tools

Handler = Callable[[Service, Request], Awaitable[Response]]
CLOSED = 499
"""nginx's status for a client that left; nobody reads it but the metrics."""


def create_app(service: Service) -> Starlette:
    """All routes of one service."""
    routes = [
        ("/v1/chat/completions", "POST", partial(generate, kind=ChatRequest)),
        ("/v1/completions", "POST", partial(generate, kind=CompletionRequest)),
        ("/v1/models", "GET", models),
        ("/tokenize", "POST", tokenize),
        ("/detokenize", "POST", detokenize),
    ]
    opened = [
        ("/health", "GET", health),
        ("/ready", "GET", ready),
        ("/metrics", "GET", metrics),
        ("/openapi.json", "GET", openapi),
    ]
    table = [Route(p, _route(service, p, h, _client), methods=[m]) for p, m, h in routes]
    table += [Route(p, _route(service, p, h, None), methods=[m]) for p, m, h in opened]
    if service.control_token is not None:
        table += [
            Route(p, _route(service, p, h, _controller), methods=[m]) for p, m, h in control.ROUTES
        ]
    return Starlette(routes=table, exception_handlers={HTTPException: _no_route, Exception: _fault})


def _route(
    service: Service, path: str, handler: Handler, guard: Callable[[Service, Request], None] | None
) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        task = asyncio.current_task()
        assert task is not None
        service.open.add(task)
        try:
            if guard is not None:
                guard(service, request)
            response = await handler(service, request)
        except ApiError as error:
            response = _refusal(error)
        except ClientDisconnect:
            response = Response(status_code=CLOSED)
        finally:
            service.open.discard(task)
        service.metrics.requests.labels(path, str(response.status_code)).inc()
        return response

    return serve


def _client(service: Service, request: Request) -> None:
    _check_key(service.api_key, request, "the API key")


def _controller(service: Service, request: Request) -> None:
    _check_key(service.control_token, request, "the control token")


def _check_key(key: str | None, request: Request, what: str) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
        raise ApiError(401, f"{what} is missing or wrong", None, "invalid_api_key")


async def body_of(service: Service, request: Request) -> bytes:
    """The body, but never more of it than allowed."""
    most = int(service.config.max_body_mb * 1e6)
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > most:
            raise ApiError(413, f"the body is longer than {service.config.max_body_mb} MB")
    return bytes(raw)


async def generate(service: Service, request: Request, kind: type[Any]) -> Response:
    job = Job(service, parse(kind, await body_of(service, request)))
    if job.body.stream:
        service.admit(job.sequences)  # once a stream has begun, no status can be sent
        return EventSourceResponse(
            job.stream(), ping=round(service.config.heartbeat_seconds), sep="\n"
        )
    answer = asyncio.ensure_future(job.whole())
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return JSONResponse(answer.result())
    finally:
        for task in (answer, gone):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def models(service: Service, _: Request) -> Response:
    model = {
        "id": service.name,
        "object": "model",
        "created": 0,
        "owned_by": "openzaya",
        "max_model_len": service.engine.capacity,
        "policy_version": service.engine.version,
    }
    return JSONResponse({"object": "list", "data": [model]})


async def tokenize(service: Service, request: Request) -> Response:
    body = parse(TokenizeRequest, await body_of(service, request))
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give either prompt or messages", "prompt")
    try:
        if body.messages is not None:
            ids = service.tokenizer.prompt_ids(with_tools(body.messages, ()))
        else:
            ids = service.tokenizer.encode(body.prompt or "")
    except ZayaError as error:
        raise ApiError(400, error.message, "prompt") from None
    table = {"tokens": ids, "count": len(ids), "max_model_len": service.engine.capacity}
    return JSONResponse(table)


async def detokenize(service: Service, request: Request) -> Response:
    body = parse(DetokenizeRequest, await body_of(service, request))
    size = service.tokenizer.vocab_size
    if any(t >= size for t in body.tokens):
        raise ApiError(400, f"tokens: ids must be below {size}", "tokens")
    return JSONResponse({"prompt": service.tokenizer.decode(body.tokens, skip_special=False)})


async def health(_: Service, __: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(service: Service, _: Request) -> Response:
    """It takes requests."""
    if service.draining:
        return JSONResponse({"status": "draining"}, 503)
    return JSONResponse({"status": "ready"})


async def metrics(service: Service, _: Request) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


async def openapi(service: Service, _: Request) -> Response:
    return JSONResponse(describe(service))


def _refusal(error: ApiError) -> Response:
    retry = error.retry_after
    headers = {"Retry-After": str(retry)} if retry is not None else None
    return JSONResponse(error.body, error.status, headers)


def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(ApiError(error.status_code, error.detail))


def _fault(_: Request, error: Exception) -> Response:
    return _refusal(ApiError(500, f"internal error: {type(error).__name__}"))
