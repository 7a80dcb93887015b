"""Run the app under uvicorn, and end it well.

SIGTERM: /ready answers 503, new requests are refused, those on their way get time to end; then
streams end with an error event and the process with 0. A second signal ends at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from openzaya.errors import EngineError
from openzaya.serve.frame import Host

LAST_WORDS = 2.0
"""Seconds in which cancelled streams may still send their error event."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Host) -> None:
        super().__init__(config)
        self.service = service
        self._drain: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)
        await self.service.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: drain first, then leave. Again: leave."""
        assert self._loop is not None
        if self._drain is not None or self.service.draining:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._drain = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        service = self.service
        service.drain()
        await _until(lambda: not service.busy, service.config.drain_seconds)
        if service.busy:
            await service.abort()
            await _until(lambda: not service.busy, LAST_WORDS)
        await asyncio.sleep(0.1)  # the last bytes
        self.should_exit = True


async def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not done() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        raise EngineError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", "choose another port="
        ) from None
    return bound


def serve(app: Starlette, service: Host, bound: socket.socket) -> None:
    """`app`, the routes of `service`, until a signal comes."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=round(LAST_WORDS) + 1,
    )  # fmt: skip
    _Server(config, service).run(sockets=[bound])
