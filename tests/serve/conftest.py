"""A model that has learnt what to answer, behind a real port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Parrot:
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
    model = ZayaForCausalLM(config).initialise(0)
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

    def __init__(self, service: Service) -> None:
        import uvicorn

        from openzaya.serve.app import create_app

        self.service = service
        self.socket: socket.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(service), log_level="warning", access_log=False, lifespan="off",
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
