"""Weights under running requests: the routes that an RL trainer drives, named as SGLang names them.

    POST /pause_generation             {"mode": "keep" | "wait" | "abort"}
    POST /continue_generation
    POST /update_weights_from_disk     {"model_path": folder, "weight_version": number}
    POST /flush_cache
    GET  /weight_version

They exist only where a control token is set.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openzaya.errors import ZayaError
from openzaya.model.checkpoint import load_model
from openzaya.serve.errors import ApiError
from openzaya.serve.schema import LoadRequest, PauseRequest, parse
from openzaya.serve.service import Service


async def pause(service: Service, request: Request) -> Response:
    body = parse(PauseRequest, await request.body() or b"{}")
    await service.asynchronous.pause(body.mode)
    return _done(service, f"paused ({body.mode})")


async def resume(service: Service, _: Request) -> Response:
    service.asynchronous.resume()
    return _done(service, "going on")


async def update(service: Service, request: Request) -> Response:
    """The folder is read while generation goes on; the swap happens between two steps."""
    body = parse(LoadRequest, await request.body())
    try:
        model = await asyncio.to_thread(load_model, Path(body.model_path))
    except ZayaError as error:
        raise ApiError(400, error.message, "model_path") from None
    ours, theirs = service.engine.config, model.config
    if ours != theirs:
        different = [k for k, v in ours.model_dump().items() if theirs.model_dump()[k] != v]
        raise ApiError(400, f"the folder's model differs in {', '.join(different)}", "model_path")
    version = body.weight_version
    await service.asynchronous.load(
        model, service.engine.version + 1 if version is None else version
    )
    return _done(service, "weights updated")


async def flush(service: Service, _: Request) -> Response:
    await service.asynchronous.flush()
    return _done(service, "prefix cache forgotten")


async def version(service: Service, _: Request) -> Response:
    return _done(service, "")


def _done(service: Service, message: str) -> Response:
    return JSONResponse(
        {"success": True, "message": message, "weight_version": service.engine.version}
    )


ROUTES = (
    ("/pause_generation", "POST", pause),
    ("/continue_generation", "POST", resume),
    ("/update_weights_from_disk", "POST", update),
    ("/flush_cache", "POST", flush),
    ("/weight_version", "GET", version),
)
