"""An endpoint whose every answer is scripted, behind a real port in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import tokenizers
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import decoders, models, pre_tokenizers

from openzaya.engine.text_tokens import LocalTokens

Script = Callable[["Scripted", dict[str, Any], int], Awaitable[Response] | Response]


def ascii(table: Any) -> Response:
    """JSON whose text is escaped: halves of characters can be sent so."""
    return Response(json.dumps(table), media_type="application/json")


def completion(content: str | None, reasoning: str | None = None, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish", "stop")}
    return {"choices": [choice], **more}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


class Scripted:
    """`script(endpoint, body, number of the call)` makes each answer."""

    def __init__(self) -> None:
        self.script: Script = lambda *_: JSONResponse(completion("ok"))
        self.bodies: list[dict[str, Any]] = []
        self.clients: list[tuple[str, int]] = []
        self.left: list[float] = []
        """When clients left in the middle."""
        self.open = 0
        routes = [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/{other:path}", self.other, methods=["GET", "POST"]),
        ]
        self.routes: dict[str, Callable[[dict[str, Any]], Response]] = {}
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="error", lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    async def chat(self, request: Request) -> Response:
        assert request.client is not None
        self.clients.append(tuple(request.client))  # type: ignore[arg-type]
        self.bodies.append(await request.json())
        made = self.script(self, self.bodies[-1], len(self.bodies))
        return made if isinstance(made, Response) else await made

    async def other(self, request: Request) -> Response:
        route = self.routes.get(request.url.path)
        if route is None:
            return JSONResponse({"error": "no such route"}, 404)
        return route(await request.json() if request.method == "POST" else {})

    def events(self, *items: Any, done: bool = True, pause: float = 0.0) -> Response:
        """A stream of the items: text as it is, anything else as an event's JSON."""

        async def send() -> AsyncIterator[str | bytes]:
            self.open += 1
            try:
                for item in items:
                    raw = isinstance(item, str | bytes)
                    yield item if raw else f"data: {json.dumps(item)}\n\n"
                    await asyncio.sleep(pause)
                if done:
                    yield "data: [DONE]\n\n"
            except asyncio.CancelledError:
                self.left.append(time.time())
                raise
            finally:
                self.open -= 1

        return StreamingResponse(send(), media_type="text/event-stream")

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.close()


@pytest.fixture(scope="session")
def byte_tokens() -> LocalTokens:
    """A token per byte: halves of characters can be cut apart, and every text can be spelt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return LocalTokens(inner)
