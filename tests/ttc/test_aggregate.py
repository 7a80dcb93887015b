"""Aggregation examples: real engine, in process and behind an HTTP endpoint."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openzaya.config.aggregate import AggregateConfig
from openzaya.config.data import SourceConfig
from openzaya.config.model import ModelConfig
from openzaya.data.rows import read_sample
from openzaya.engine import Engine, EngineSampler
from openzaya.engine.endpoint import Patience
from openzaya.engine.http import HTTPSampler
from openzaya.errors import DataError, EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.run_dir import RunDir
from openzaya.tokenizer import build_phrase_tokenizer
from openzaya.ttc.aggregate import aggregate
from openzaya.ttc.prompts import aggregation_messages, fixed_phrases
from openzaya.types import Message, Request, SamplingParams


@pytest.fixture(scope="module")
def sampler() -> EngineSampler:
    tokenizer = build_phrase_tokenizer(
        {}, fixed_phrases("aggregate-v1", 3), "0123456789+=? whatisermu\n"
    )
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_experts=4,
        moe_intermediate_size=32, router_hidden_size=16, max_position_embeddings=512,
        eos_token_id=tokenizer.im_end_id,
    )  # fmt: skip
    model = ZayaForCausalLM(config).initialise(0)
    return EngineSampler(Engine(model, tokenizer.im_end_id), tokenizer)


class Endpoint:
    """The engine as an OpenAI-compatible server, with a status to fail with now and then."""

    def __init__(self, sampler: EngineSampler) -> None:
        self.sampler, self.seen, self.fail_with = sampler, [], dict[int, int]()
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.seen.append((self.path, self.headers.get("Authorization"), body))
                    status = outer.fail_with.pop(len(outer.seen), 200)
                    answer = outer.answer(body) if status == 200 else {"error": "not now"}
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        turns = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        keys = ("max_tokens", "temperature", "top_p", "seed")
        params = SamplingParams(**{key: body[key] for key in keys})
        (c,) = self.sampler.run([Request(turns, params)])
        message = {"reasoning_content": c.reasoning, "content": c.answer}
        return {"choices": [{"message": message, "finish_reason": str(c.finish_reason)}]}


@pytest.fixture
def endpoint(sampler: EngineSampler) -> Iterator[Endpoint]:
    made = Endpoint(sampler)
    yield made
    made.server.shutdown()
    made.server.server_close()


def config(problems: Path, **changes: Any) -> AggregateConfig:
    table: dict[str, Any] = {
        "problems": str(problems), "writer": {"model": "here"}, "rollouts": 4, "candidates": 3,
        "examples": 4, "tail": 6, "budget": 120,
    }  # fmt: skip
    return AggregateConfig.model_validate(table | changes)


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    rows = [{"question": f"what is {i} + {i}?"} for i in range(12)]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "problems.jsonl"


def make(cfg: AggregateConfig, folder: Path, sampler: Any) -> list[dict[str, Any]]:
    with RunDir.create(folder, cfg, resume=True) as run:
        count = asyncio.run(aggregate(cfg, run, sampler, sampler))
    found = [json.loads(line) for line in (folder / "aggregation.jsonl").read_text().splitlines()]
    assert len(found) == count
    return found


def test_what_an_example_holds(problems: Path, tmp_path: Path, sampler: EngineSampler) -> None:
    cfg = config(problems)
    found = make(cfg, tmp_path / "run", sampler)
    rolled = {
        tuple(r["id"]): r["tail"]
        for r in map(json.loads, (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines())
    }
    assert len(rolled) == 12 * 4
    assert 0 < len(found) < 48, "some teachers ended, some ran out of their budget"
    for example in found:
        problem, _ = example["id"]
        assert len(set(example["rollouts"])) == 3
        assert example["tails"] == [rolled[problem, slot] for slot in example["rollouts"]]
        assert all(len(tail) <= 6 for tail in example["tails"])
        sample = read_sample(example, SourceConfig(path="x", form="chat"), "here")
        assert sample.messages is not None
        prompt, target = sample.messages
        question = prompt.content.split("Problem:\n")[1].split("\nAttempt 1:")[0]
        tails = [sampler.tokenizer.decode(tail) for tail in example["tails"]]
        want = aggregation_messages((Message("user", question),), tails, "aggregate-v1")
        assert prompt == want[0]
        assert target.role == "assistant"


def test_the_same_run_again_asks_for_nothing(
    problems: Path, tmp_path: Path, sampler: EngineSampler
) -> None:
    """A run that was cut in the middle of a line ends as one that was not."""
    cfg = config(problems)
    whole = make(cfg, tmp_path / "whole", sampler)
    make(cfg, tmp_path / "cut", sampler)
    for name in ("rollouts.jsonl", "examples.jsonl"):
        data = (tmp_path / "cut" / name).read_bytes()
        (tmp_path / "cut" / name).write_bytes(data[: len(data) // 2])

    class Counting:
        think_ids, detokenize, asked = sampler.think_ids, sampler.detokenize, 0

        async def sample(self, requests: Any) -> Any:
            Counting.asked += len(requests)
            return await sampler.sample(requests)

    assert make(cfg, tmp_path / "cut", Counting()) == whole
    assert 0 < Counting.asked < 12 * 4 + 48
    Counting.asked = 0
    assert make(cfg, tmp_path / "cut", Counting()) == whole
    assert Counting.asked == 0


def test_an_endpoint_writes_what_the_engine_writes(
    problems: Path, tmp_path: Path, sampler: EngineSampler, endpoint: Endpoint
) -> None:
    """Seeds go through, ids come back, and answers that pass are asked for again."""
    cfg = config(problems)
    endpoint.fail_with = {2: 503, 5: 429}

    async def over_http() -> int:
        with RunDir.create(tmp_path / "http", cfg) as run:
            async with HTTPSampler(
                endpoint.url, "tiny", sampler.tokenizer, key="k", patience=Patience(first_wait=0.01)
            ) as far:
                return await aggregate(cfg, run, far, far)

    assert asyncio.run(over_http()) > 0
    path, key, body = endpoint.seen[0]
    assert path == "/v1/chat/completions" and key == "Bearer k" and body["model"] == "tiny"
    assert len(endpoint.seen) == 12 * (4 + 4) + 2

    async def beside() -> None:
        requests = [
            Request((Message("user", "what is 1?"),), SamplingParams(30, seed=seed))
            for seed in range(20)
        ]
        near = await sampler.sample(requests)
        async with HTTPSampler(endpoint.url, "tiny", sampler.tokenizer) as far:
            for a, b in zip(near, await far.sample(requests), strict=True):
                assert (a.reasoning, a.answer, a.finish_reason) == (
                    b.reasoning, b.answer, b.finish_reason,
                )  # fmt: skip
                ids = b.token_ids.tolist()
                assert await far.detokenize(far.think_ids.split(ids)[0]) == a.reasoning

    asyncio.run(beside())


@pytest.mark.parametrize(
    ("fails", "match"),
    [({1: 401}, "401"), (dict.fromkeys(range(1, 30), 500), "500")],
)
def test_an_endpoint_that_refuses(
    fails: dict[int, int], match: str, sampler: EngineSampler, endpoint: Endpoint
) -> None:
    endpoint.fail_with = fails

    async def ask(url: str) -> None:
        patience = Patience(first_wait=0.001)
        async with HTTPSampler(url, "tiny", sampler.tokenizer, patience=patience) as far:
            await far.sample([Request((Message("user", "1"),), SamplingParams(3))])

    with pytest.raises(EngineError, match=match):
        asyncio.run(ask(endpoint.url))
    assert len(endpoint.seen) == (1 if match == "401" else 6)
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9"):
        asyncio.run(ask("http://127.0.0.1:9/v1"))


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "no problem"), ('{"q": 1}', "1 holds no 'question'"), ("{", "1 holds no"),
     ('{"question": 3}', "is no text")],
)  # fmt: skip
def test_bad_problems(text: str, match: str, tmp_path: Path, sampler: EngineSampler) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=match):
        make(config(tmp_path / "p.jsonl"), tmp_path / "run", sampler)


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        config(tmp_path, rollouts=2)
    with pytest.raises(ValueError, match="nobody writes"):
        config(tmp_path, writer={})
