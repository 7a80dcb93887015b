"""The routes of a model in this process."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openzaya.errors import ZayaError
from openzaya.serve import control, frame, page, rsa
from openzaya.serve.chat import Job
from openzaya.serve.errors import ApiError
from openzaya.serve.frame import body_of, client
from openzaya.serve.openapi import describe
from openzaya.serve.rsa_fields import RSAChatRequest
from openzaya.serve.schema import (
    CompletionRequest,
    DetokenizeRequest,
    TokenizeRequest,
    parse,
)
from openzaya.serve.service import Service
from openzaya.serve.tools import with_tools


def create_app(service: Service) -> Starlette:
    """All routes of one service."""
    entries: list[frame.Entry] = [
        ("/v1/chat/completions", "POST", chat, client),
        ("/v1/completions", "POST", complete, client),
        ("/v1/models", "GET", models, client),
        ("/tokenize", "POST", tokenize, client),
        ("/detokenize", "POST", detokenize, client),
        *rsa.ROUTES,
        ("/", "GET", page.show, None),
        ("/health", "GET", frame.health, None),
        ("/ready", "GET", frame.ready, None),
        ("/metrics", "GET", frame.metrics, None),
        ("/openapi.json", "GET", openapi, None),
    ]
    if service.control_token is not None:
        entries += [(path, method, h, frame.controller) for path, method, h in control.ROUTES]
    return frame.starlette(service, entries)


async def chat(service: Service, request: Request) -> Response:
    body = parse(RSAChatRequest, await body_of(service, request))
    run = await rsa.run_of(service, request, body)
    if run is not None:
        return await rsa.respond(service, request, run)
    return await _respond(service, request, Job(service, body))


async def complete(service: Service, request: Request) -> Response:
    body = parse(CompletionRequest, await body_of(service, request))
    return await _respond(service, request, Job(service, body))


async def _respond(service: Service, request: Request, job: Job) -> Response:
    if not job.body.stream:
        return await frame.whole(request, job)
    service.admit(job.sequences)  # once a stream has begun, no status can be sent
    return frame.events(service, job.stream())


async def models(service: Service, _: Request) -> Response:
    model: dict[str, Any] = {
        "id": service.name,
        "object": "model",
        "created": 0,
        "owned_by": "openzaya",
        "max_model_len": service.engine.capacity,
        "policy_version": service.engine.version,
    }
    rows = [model, *rsa.variants(model, service.engine.capacity)]
    return JSONResponse({"object": "list", "data": rows})


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


async def openapi(service: Service, _: Request) -> Response:
    return JSONResponse(describe(service))
