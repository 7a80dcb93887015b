"""The sampler before real servers: our own, and llama.cpp's with a real model."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from openzaya.cli.sampler import open_sampler
from openzaya.config.model import ModelConfig
from openzaya.config.rsa import preset
from openzaya.config.sampler import SamplerConfig
from openzaya.engine import EngineSampler
from openzaya.engine.http import HTTPSampler
from openzaya.model import ZayaForCausalLM
from openzaya.tokenizer import build_phrase_tokenizer
from openzaya.ttc import reason
from openzaya.types import Message, Request, SamplingParams
from tests.serve.conftest import WINDOW, Parrot, Running, service_of

TEXT = "naïve 😀\n\tcode()\n  two  spaces"


@pytest.fixture(scope="module")
def ours() -> Iterator[Running]:
    """A model that has learnt nothing."""
    torch.manual_seed(0)
    letters = "".join(map(chr, range(32, 127))) + "\n"
    tokenizer = build_phrase_tokenizer({}, ["user\n", "assistant\n"], letters)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=2,
        moe_intermediate_size=32, router_hidden_size=16, max_position_embeddings=WINDOW,
        eos_token_id=tokenizer.im_end_id,
    )  # fmt: skip
    model = ZayaForCausalLM(config).initialise(0)
    with Running(service_of(Parrot(model, tokenizer, Path()))) as running:
        yield running


def request(question: str, on_text: Any = None, max_tokens: int = 80, seed: int = 0) -> Request:
    params = SamplingParams(max_tokens, seed=seed)
    return Request((Message("user", question),), params, on_text=on_text)


def test_our_own_server(ours: Running) -> None:
    """It tokenizes, says its window, streams, and tells what its cache spared."""
    tokenizer = ours.service.tokenizer

    async def run() -> None:
        async with open_sampler(SamplerConfig(endpoint=f"{ours.url}/v1")) as sampler:
            assert isinstance(sampler, HTTPSampler)
            assert (sampler.model, sampler.context_length) == ("parrot", WINDOW)
            near = EngineSampler(ours.service.engine, tokenizer)
            pieces: list[int] = []
            for seed in range(4):
                heard: list[str] = []
                one = request("Go on!", heard.append, 400, seed)
                (c,) = await sampler.sample([one])
                (d,) = await near.sample([replace(one, on_text=None)])
                assert "".join(heard) == d.reasoning + (d.answer or "")
                pieces.append(len(heard))
                assert c.decode_tokens == d.decode_tokens and c.finish_reason is d.finish_reason
                assert len(c.prompt_ids) == len(d.prompt_ids)
            assert max(pieces) > 1
            async with HTTPSampler(sampler.url, "parrot", tokenizer, exact=True) as exact:
                (c,), (d,) = await exact.sample([one]), await near.sample([one])
                for name in ("prompt_ids", "token_ids", "logprobs", "policy_version"):
                    assert np.array_equal(getattr(c, name), getattr(d, name)), name
                assert c.text == d.text
            long = (Message("user", "Tell me about the sea. " * 20),)
            for spared in (False, True):
                (c,) = await sampler.sample([Request(long, SamplingParams(4))])
                assert (c.cached_tokens > 0) is spared

    asyncio.run(run())


def test_our_own_server_is_left_at_once(ours: Running) -> None:
    engine = ours.service.engine

    async def run() -> None:
        async with open_sampler(SamplerConfig(endpoint=f"{ours.url}/v1")) as sampler:
            for _ in range(2):
                requests = [request("Go on!", None, 800, i) for i in range(4)]
                task = asyncio.ensure_future(sampler.sample(requests))
                while not engine.scheduler.running:
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                began = engine.generated_tokens
                while engine.scheduler.running:
                    await asyncio.sleep(0.001)
                assert engine.generated_tokens - began < 800

    asyncio.run(asyncio.wait_for(run(), 60))


# llama.cpp


@pytest.fixture(scope="module")
def small() -> Iterator[Any]:
    pytest.importorskip("xllamacpp")
    path = Path(__file__).parents[2] / "bench" / "rsa.py"
    spec = importlib.util.spec_from_file_location("bench_rsa", path)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules["bench_rsa"] = bench
    spec.loader.exec_module(bench)
    with bench.SmolServer() as server:
        yield server


@pytest.mark.peer
def test_llama_cpp(small: Any) -> None:
    heard: list[str] = []

    async def run() -> None:
        async with open_sampler(SamplerConfig(endpoint=small.url)) as sampler:
            assert isinstance(sampler, HTTPSampler)
            assert sampler.context_length == 2048
            tokens = sampler._tokens
            ids = await tokens.encode(TEXT)
            assert len(ids) > 10 and await tokens.decode(ids) == TEXT
            for n in range(len(ids)):  # also between halves of a character
                tail = await tokens.decode(ids[n:])
                assert TEXT.endswith(tail.lstrip("�")), (n, tail)
            (c,) = await sampler.sample([request("Name a colour.", heard.append, 12)])
            assert "".join(heard) == c.reasoning and c.answer == c.reasoning.strip() != ""
            assert c.written is not None and 0 < c.written <= 12
            assert abs(len(c.token_ids) - c.written) <= 2, "its own tokens, made from its text"
            (again,) = await sampler.sample([request("Name a colour.", None, 4)])
            assert len(again.prompt_ids) == len(c.prompt_ids) > again.cached_tokens > 0

    asyncio.run(run())


@pytest.mark.peer
def test_llama_cpp_is_left_at_once(small: Any) -> None:
    root = small.url.removesuffix("/v1")

    def busy() -> int:
        return sum(slot["is_processing"] for slot in httpx.get(f"{root}/slots").json())

    async def run() -> None:
        async with open_sampler(SamplerConfig(endpoint=small.url)) as sampler:
            asked = [request("Tell me a long story.", None, 1500, i) for i in range(4)]
            task = asyncio.ensure_future(sampler.sample(asked))
            while await asyncio.to_thread(busy) < 4:
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while await asyncio.to_thread(busy):
                await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 60))  # 6,000 tokens would take it minutes


@pytest.mark.peer
def test_markovian_rsa_before_llama_cpp(small: Any) -> None:
    """No prompt is longer than the problem, C tails and the template's words."""
    size = ["population=3", "candidates=2", "rounds=2", "budget=20", "tail=8", "final_budget=none"]
    config = preset("paper", [*size, "kind=math"])
    question = (Message("user", "What is 7 + 5?"),)

    async def run() -> None:
        async with open_sampler(SamplerConfig(endpoint=small.url)) as sampler:
            assert isinstance(sampler, HTTPSampler)
            result = await reason(question, sampler, config, run_id="x")
            assert result.stop == "done" and result.cost.generations == 9
            first = max(c.tokens.prompt for c in result.members(0))
            for t in (1, 2):
                for c in result.members(t):
                    assert len(c.parents) == 2 and len(c.tail_ids) <= 8
                    assert first < c.tokens.prompt < first + 2 * 8 + 200
            tail = result.members(0)[0]
            assert await sampler.detokenize(tail.tail_ids) == tail.tail

    asyncio.run(run())
