"""What every route has, whatever it serves: keys, bodies of bounded length, errors, metrics."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Protocol

from prometheus_client import Counter
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openzaya.config.serve import ServeConfig
from openzaya.serve.errors import ApiError

CLOSED = 499
"""nginx's status for a client that left; nobody reads it but the metrics."""


class Counting(Protocol):
    """Metrics, as far as all routes need them."""

    requests: Counter

    def text(self) -> bytes: ...


class Host(Protocol):
    """Who answers: a model in this process (`Service`), or an endpoint (`Upstream`)."""

    config: ServeConfig
    api_key: str | None
    control_token: str | None
    draining: bool
    open: set[asyncio.Task[object]]

    @property
    def metrics(self) -> Counting: ...

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        ...

    def drain(self) -> None:
        """Take nothing more; what is on its way may end."""
        ...

    async def abort(self) -> None:
        """End what is on its way; its clients hear an error."""
        ...

    async def close(self) -> None:
        """After the last request."""
        ...


class Answer(Protocol):
    """A request that was understood."""

    async def whole(self) -> dict[str, Any]: ...

    def stream(self) -> AsyncIterator[str]: ...


Handler = Callable[[Any, Request], Awaitable[Response]]
Guard = Callable[[Any, Request], None]
Entry = tuple[str, str, Handler, Guard | None]
"""Path, method, handler, and who may."""


def starlette(host: Host, entries: Iterable[Entry]) -> Starlette:
    """The app of these routes."""
    table = [Route(p, _route(host, p, h, guard), methods=[m]) for p, m, h, guard in entries]
    return Starlette(routes=table, exception_handlers={HTTPException: _no_route, Exception: _fault})


def _route(
    host: Host, path: str, handler: Handler, guard: Guard | None
) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        task = asyncio.current_task()
        assert task is not None
        host.open.add(task)
        try:
            if guard is not None:
                guard(host, request)
            response = await handler(host, request)
        except ApiError as error:
            response = _refusal(error)
        except ClientDisconnect:
            response = Response(status_code=CLOSED)
        finally:
            host.open.discard(task)
        host.metrics.requests.labels(path, str(response.status_code)).inc()
        return response

    return serve


def client(host: Host, request: Request) -> None:
    """Those who have the API key."""
    _check_key(host.api_key, request, "the API key")


def controller(host: Host, request: Request) -> None:
    """Those who have the control token."""
    _check_key(host.control_token, request, "the control token")


def _check_key(key: str | None, request: Request, what: str) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
        raise ApiError(401, f"{what} is missing or wrong", None, "invalid_api_key")


async def body_of(host: Host, request: Request) -> bytes:
    """The body, but never more of it than allowed."""
    most = int(host.config.max_body_mb * 1e6)
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > most:
            raise ApiError(413, f"the body is longer than {host.config.max_body_mb} MB")
    return bytes(raw)


def events(host: Host, data: AsyncIterator[str], **headers: str) -> Response:
    """A stream of server-sent events; a comment line when it is silent."""
    ping = round(host.config.heartbeat_seconds)
    return EventSourceResponse(data, ping=ping, sep="\n", headers=headers)


async def whole(request: Request, answer: Answer) -> Response:
    """An answer in one piece. A client that leaves takes its request with it."""
    task = asyncio.ensure_future(answer.whole())
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return JSONResponse(task.result())
    finally:
        for each in (task, gone):
            each.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def health(_: Host, __: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(host: Host, _: Request) -> Response:
    """It takes requests."""
    if host.draining:
        return JSONResponse({"status": "draining"}, 503)
    return JSONResponse({"status": "ready"})


async def metrics(host: Host, _: Request) -> Response:
    return Response(host.metrics.text(), media_type="text/plain; version=0.0.4")


def _refusal(error: ApiError) -> Response:
    retry = error.retry_after
    headers = {"Retry-After": str(retry)} if retry is not None else None
    return JSONResponse(error.body, error.status, headers)


def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(ApiError(error.status_code, error.detail))


def _fault(_: Request, error: Exception) -> Response:
    return _refusal(ApiError(500, f"internal error: {type(error).__name__}"))
