"""Markovian RSA behind /v1/chat/completions, and the routes of the page."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openzaya.config.rsa import preset
from openzaya.serve import frame
from openzaya.serve.errors import ApiError
from openzaya.serve.rsa_fields import VARIANTS, RSAChatRequest, about, base_model, fits, wish_of
from openzaya.serve.rsa_run import RSAHost, Run
from openzaya.serve.schema import parse


def key_of(request: Request) -> str | None:
    """What the client shows of itself; only a host that has no key of its own hands it on."""
    return request.headers.get("authorization", "").removeprefix("Bearer ") or None


async def run_of(host: RSAHost, request: Request, body: RSAChatRequest) -> Run | None:
    """The run that `body` asks for; None if it asks for none."""
    seed = uuid.uuid4().int >> 65
    if wish_of(body, None, seed) is None:
        return None
    key = key_of(request)
    model, window = await host.model(base_model(body.model)[0], key)
    wish = wish_of(body, window, seed)
    assert wish is not None
    return Run(host, body, wish, model, window, key)


async def respond(host: RSAHost, request: Request, run: Run) -> Response:
    """The run as a chat completion, whole or streamed."""
    await run.check()
    if run.body.stream:
        return frame.events(host, run.stream())
    return await frame.whole(request, run)


async def offer(host: RSAHost, request: Request) -> Response:
    """What the page needs to know."""
    return JSONResponse(about(*await host.model(None, key_of(request))))


async def begin(host: RSAHost, request: Request) -> Response:
    """A run as a stream of its events; the body is that of a chat request."""
    body = parse(RSAChatRequest, await frame.body_of(host, request))
    run = await run_of(host, request, body)
    if run is None:
        run = await run_of(host, request, body.model_copy(update={"rsa": True}))
    assert run is not None
    await run.check()
    return frame.events(host, run.page(), **{"X-Run": run.id})


async def answer_now(host: RSAHost, request: Request) -> Response:
    """End a run with the best answer that it has."""
    run = host.runs.active.get(request.path_params["run"])
    if run is None:
        raise ApiError(404, "no such run is on its way", None, "run_not_found")
    run.stop.set()
    return JSONResponse({"status": "answering"})


ROUTES: list[frame.Entry] = [
    ("/rsa", "GET", offer, frame.client),
    ("/rsa/runs", "POST", begin, frame.client),
    ("/rsa/runs/{run}/answer", "POST", answer_now, frame.client),
]


def variants(model: dict[str, Any], window: int | None) -> list[dict[str, Any]]:
    """The presets as models of their own, as far as the window holds them."""
    return [
        {**model, "id": f"{model['id']}:rsa-{name}", "parent": model["id"]}
        for name in VARIANTS
        if fits(preset(name), window)
    ]
