"""A scripted server behind a real port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Handler = Callable[[str, dict[str, Any]], Any]
"""(path, body) -> JSON, or (status, text)."""


class Scripted:
    """Every call is kept; `handler` may be exchanged at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.handler: Handler = lambda path, body: (404, "nothing here")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append((request.url.path, body))
        self.keys.append(request.headers.get("authorization"))
        got = await run_in_threadpool(self.handler, request.url.path, body)
        if isinstance(got, tuple):
            return PlainTextResponse(got[1], status_code=got[0])
        return JSONResponse(got)


@contextmanager
def _running() -> Iterator[Scripted]:
    listener = socket.create_server(("127.0.0.1", 0))
    scripted = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Starlette(routes=[Route("/{path:path}", scripted.answer, methods=["POST"])])
    config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with _running() as server:
        yield server
