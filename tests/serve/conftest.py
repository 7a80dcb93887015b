"""A model that has learnt what to answer, behind a real port."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.config.serve import ServeConfig
from openzaya.engine import Engine
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.serve.schema import ChatMessage, Tool
from openzaya.serve.server import _Server, listen
from openzaya.serve.service import Service
from openzaya.serve.tools import with_tools
from openzaya.serve.upstream import Upstream
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.train.loss import Stream, next_token_loss
from openzaya.types import Message

WINDOW = 1024
CALL = (
    "<zyphra_tool_call>\n<function=weather>\n<parameter=city>Paris</parameter>\n"
    "<parameter=days>3</parameter>\n</function>\n</zyphra_tool_call>"
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}
KNOWN = [
    ("What is 2+3?", "two and three make five", "The answer is 5."),
    ("Say it in lines.", "lines", "one\ntwo\nthree\nfour"),
    ("Weather in Paris?", "I should look", f"Let me see. {CALL}"),
    ("Go on!", "x" * 40, "y" * 400),
]


def asked(question: str) -> tuple[Message, ...]:
    """What the model is given; the third question comes with a tool."""
    turns = [ChatMessage(role="user", content=question)]
    tools = [Tool.model_validate(WEATHER)] if "Weather" in question else []
    return with_tools(turns, tools)


@dataclass
class Parrot:
    """What was learnt, and where it lies."""

    model: ZayaForCausalLM
    tokenizer: Tokenizer
    folder: Path


def newborn() -> tuple[ZayaForCausalLM, Tokenizer]:
    """A model that knows nothing yet, and its letters."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    letters = "".join(map(chr, range(32, 127))) + "\n"
    tokenizer = build_phrase_tokenizer({}, ["user\n", "assistant\n"], letters)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_experts=2,
        moe_intermediate_size=64, router_hidden_size=16, max_position_embeddings=WINDOW,
        eos_token_id=tokenizer.im_end_id, key_temperature_init=3.0, moe_branch_scale_init=2.0,
    )  # fmt: skip
    return ZayaForCausalLM(config).initialise(0), tokenizer


@pytest.fixture(scope="session")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Parrot:
    """A model that says anything: enough for rollouts, and made in a moment."""
    model, tokenizer = newborn()
    folder = tmp_path_factory.mktemp("babbler")
    save_model(model, folder)
    tokenizer.save(folder)
    return Parrot(model, tokenizer, folder)


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Parrot:
    model, tokenizer = newborn()
    texts = [
        tokenizer.conversation_ids((*asked(q), Message("assistant", answer, thought)))
        for q, thought, answer in KNOWN
    ]
    ids = torch.tensor([t for text in texts for t in text])
    layout = Layout.of([len(t) for t in texts])
    position = torch.cat([
        torch.arange(start + len(tokenizer.prompt_ids(asked(q))) - 1, start + length - 1)
        for (q, _, _), start, length in zip(
            KNOWN, layout.start_B.tolist(), layout.lengths, strict=True
        )
    ])  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.0)
    for _ in range(400):
        loss, _ = next_token_loss(model, Stream(ids, layout, position, ids[position + 1]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 2e-3:
            break
    assert loss < 0.02, f"the parrot has not learnt its lines: {loss}"
    folder = tmp_path_factory.mktemp("parrot")
    save_model(model, folder)
    tokenizer.save(folder)
    return Parrot(model, tokenizer, folder)


class Running:
    """A server in a thread, on a port of its own."""

    def __init__(self, service: Service | Upstream) -> None:
        import uvicorn

        from openzaya.serve import app, upstream

        make = app.create_app if isinstance(service, Service) else upstream.create_app
        self.service: Any = service
        self.socket: socket.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(
            make(service), log_level="warning", access_log=False, lifespan="off",
            timeout_graceful_shutdown=3,
        )  # fmt: skip
        self.server = _Server(config, service)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Running:
        self.thread.start()
        for _ in range(500):
            try:
                httpx.get(f"{self.url}/health")
                return self
            except httpx.TransportError:
                time.sleep(0.01)
        raise AssertionError("the server does not answer")

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()


def service_of(parrot: Parrot, engine: dict[str, int] | None = None, **config: object) -> Service:
    settings = {"max_sequences": 8, "cache_bytes": 64 << 20} | (engine or {})
    made = Engine(
        parrot.model, parrot.tokenizer.im_end_id, end_think_id=parrot.tokenizer.end_think_id,
        **settings,
    )  # fmt: skip
    table = {"temperature": 0.0, "top_p": 1.0, **config}
    return Service(
        made, parrot.tokenizer, ServeConfig.model_validate(table), "parrot",
        control_token="let me in",
    )  # fmt: skip


@pytest.fixture(scope="module")
def running(parrot: Parrot) -> Iterator[Running]:
    with Running(service_of(parrot)) as running:
        yield running


Reply = tuple[str, str]
"""Reasoning and answer."""


class Scripted:
    """An endpoint that somebody else wrote, in the usual dialect: a token is a letter.

    It answers what `reply` says, in pieces, after `silence` seconds; `fails` of the calls get 503.
    """

    def __init__(
        self, reply: Callable[[str, int], Reply], *, silence: float = 0.0, fails: int = 0,
        pause: float = 0.0, key: str | None = None, window: int | None = 8192,
    ) -> None:  # fmt: skip
        import uvicorn
        from starlette.applications import Starlette
        from starlette.routing import Route

        self.reply, self.silence, self.fails, self.pause = reply, silence, fails, pause
        self.key, self.window = key, window
        self.calls: list[dict[str, Any]] = []
        self.open = 0
        """Answers on their way."""
        routes = [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
            Route("/detokenize", self.detokenize, methods=["POST"]),
        ]
        self.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="warning", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Scripted:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    async def chat(self, request: Any) -> Any:
        from starlette.responses import JSONResponse, StreamingResponse

        body = await request.json()
        self.calls.append(body | {"key": request.headers.get("authorization")})
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": "who are you?"}}, 401)
        if len(self.calls) <= self.fails:
            return JSONResponse({"error": {"message": "busy"}}, 503, {"retry-after": "0.01"})
        if "unknown" in body:
            return JSONResponse({"error": {"message": "unknown?", "param": "unknown"}}, 422)
        asked = "\n".join(m["content"] for m in body["messages"])
        thought, answer = self.reply(body["messages"][-1]["content"], body.get("seed") or 0)
        usage = {
            "prompt_tokens": len(asked), "completion_tokens": len(thought) + len(answer),
            "total_tokens": len(asked) + len(thought) + len(answer),
        }  # fmt: skip
        frame = {"id": "x", "created": 1, "model": body["model"], "object": "chat.completion"}
        if not body.get("stream"):
            await asyncio.sleep(self.silence)
            message = {"role": "assistant", "content": answer, "reasoning_content": thought}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return JSONResponse({**frame, "choices": [choice], "usage": usage})
        return StreamingResponse(
            self.pieces(thought, answer, usage, frame), media_type="text/event-stream"
        )

    async def pieces(self, thought: str, answer: str, usage: Any, frame: Any) -> Any:
        frame = frame | {"object": "chat.completion.chunk"}
        self.open += 1
        try:
            await asyncio.sleep(self.silence)
            for name, text in (("reasoning_content", thought), ("content", answer)):
                for i in range(0, len(text), 40):
                    delta = {"role": "assistant", name: text[i : i + 40]}
                    choice = {"index": 0, "delta": delta, "finish_reason": None}
                    yield f"data: {json.dumps({**frame, 'choices': [choice]})}\n\n"
                    await asyncio.sleep(self.pause)
            choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
            yield f"data: {json.dumps({**frame, 'choices': [choice]})}\n\n"
            yield f"data: {json.dumps({**frame, 'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            self.open -= 1

    async def models(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        row: dict[str, Any] = {"id": "sage", "object": "model"}
        if self.window is not None:
            row["max_model_len"] = self.window
        return JSONResponse({"object": "list", "data": [row]})

    async def embeddings(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"data": [], "echo": await request.json()})

    async def tokenize(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"tokens": [ord(c) for c in (await request.json())["prompt"]]})

    async def detokenize(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"prompt": "".join(map(chr, (await request.json())["tokens"]))})


def sage(prompt: str, seed: int) -> Reply:
    """Right two times in three; who is shown earlier attempts goes with most of them."""
    answer = "47" if seed % 3 or prompt.count("= 47") > 1 else str(40 + seed % 7)
    thought = f"First I count by hand.\nThen I check: the sum is = {answer}. " * 3
    return thought, f"The answer is \\boxed{{{answer}}}."


def upstream_of(
    scripted: Scripted | str, key: str | None = None, api_key: str | None = None, **config: Any
) -> Upstream:
    url = scripted if isinstance(scripted, str) else scripted.url
    source = {"endpoint": url, "attempts": 2} | config.pop("source", {})
    made = ServeConfig.model_validate({"upstream": source, **config})
    assert made.upstream is not None
    return Upstream(made, made.upstream, key=key, api_key=api_key)
