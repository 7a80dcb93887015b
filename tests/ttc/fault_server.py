"""An OpenAI-compatible server that lets a share of its calls go wrong. Run as a program:

    python fault_server.py RATE SEED

prints its port. What goes wrong is drawn per call: refused (500, 429), hanging, cut off in the
middle, slow, empty, endless, or no JSON at all. Right answers are a function of prompt and seed.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

FAULTS = ("500", "429", "hang", "cut", "slow", "empty", "endless", "garbage")
PIECES = 4


def words(body: dict[str, Any]) -> tuple[str, str]:
    rng = random.Random(f"{body.get('seed')}:{body['messages'][-1]['content']}")
    thought = " ".join(str(rng.randint(0, 99)) for _ in range(20))
    return thought, f"It is \\boxed{{{rng.randint(1, 3)}}}."


class Server:
    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.rng = rate, random.Random(seed)

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        fault = self.rng.choice(FAULTS) if self.rng.random() < self.rate else ""
        thought, answer = words(body)
        if fault in ("500", "429"):
            headers = {"Retry-After": "0"} if fault == "429" else {}
            return JSONResponse({"error": {"message": fault}}, int(fault), headers)
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "garbage":
            return Response("<html>", media_type="text/html")
        if fault == "empty":
            thought = answer = ""
        if fault == "endless":
            thought *= 200
        usage = {"prompt_tokens": 9, "completion_tokens": len((thought + answer).split())}
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer, "reasoning_content": thought}
            if fault == "cut":
                return Response('{"choices": [{"mess', media_type="application/json")
            return JSONResponse(
                {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
            )
        pause = 0.1 if fault == "slow" else 0.0
        stream = self._stream(thought, answer, usage, pause, fault == "cut")
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _stream(
        self, thought: str, answer: str, usage: Any, pause: float, cut: bool
    ) -> AsyncIterator[str]:
        size = max(1, len(thought) // PIECES)
        deltas = [
            {"reasoning_content": thought[i : i + size]} for i in range(0, len(thought), size)
        ]
        deltas.append({"content": answer})
        for n, delta in enumerate(deltas):
            await asyncio.sleep(pause)
            if cut and n == PIECES // 2:
                return
            yield _chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        yield _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        yield _chunk(choices=[], usage=usage)
        yield "data: [DONE]\n\n"


def _chunk(**fields: Any) -> str:
    return f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk'} | fields)}\n\n"


def main() -> None:
    server = Server(float(sys.argv[1]), int(sys.argv[2]))
    app = Starlette(routes=[Route("/v1/chat/completions", server.complete, methods=["POST"])])
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
