"""Concurrent callers share steps of the engine, and none of them notices."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.errors import EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.types import Completion, FinishReason, Message, Request, SamplingParams

POSITIONS = 64


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_phrase_tokenizer({}, ["user\n", "assistant\n"], "0123456789+= \n")


@pytest.fixture(scope="module")
def network(tokenizer: Tokenizer) -> ZayaForCausalLM:
    torch.set_num_threads(1)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, num_experts=4, moe_intermediate_size=32,
        router_hidden_size=16, max_position_embeddings=POSITIONS, initializer_range=0.2,
    )  # fmt: skip
    return ZayaForCausalLM(config).initialise(1)


@pytest.fixture
def sampler(network: ZayaForCausalLM, tokenizer: Tokenizer) -> EngineSampler:
    engine = Engine(
        network, tokenizer.im_end_id, end_think_id=tokenizer.end_think_id, max_sequences=3,
        version=7,
    )  # fmt: skip
    return EngineSampler(engine, tokenizer)


def request(text: str, seed: int, max_tokens: int = 9, experts: bool = False) -> Request:
    return Request((Message("user", text),), SamplingParams(max_tokens, seed=seed), experts)


CALLERS = [[request(f"{c}+{i}", 10 * c + i, 4 + i) for i in range(c)] for c in (1, 4, 0, 2)]
"""Four callers with different numbers of requests, one with none."""


def test_callers_with_equal_prompts_share_a_prefill(sampler: EngineSampler) -> None:
    """As rollouts of one question do, each asked for by itself."""
    question = "1+1+1+1+1+1+1+1+1+1"
    apart = [[request(question, seed)] for seed in range(3)]
    done = asyncio.run(together(sampler, apart))
    length = len(done[0][0].prompt_ids)
    assert sorted(c.cached_tokens for (c,) in done) == [0, length, length]
    other = [[request(f"{question}+{seed}", seed)] for seed in range(3)]
    assert {c.cached_tokens for (c,) in asyncio.run(together(sampler, other))} == {0}


def test_a_caller_that_leaves_takes_no_other_with_it(sampler: EngineSampler) -> None:
    async def go() -> list[Completion]:
        tasks = [asyncio.ensure_future(sampler.sample([request("1+1", s, 20)])) for s in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        return await tasks[1]

    alone = asyncio.run(sampler.sample([request("1+1", 1, 20)]))
    (left,) = asyncio.run(go())
    assert left.token_ids.tolist() == alone[0].token_ids.tolist()


async def together(sampler: EngineSampler, callers: list[list[Request]]) -> list[list[Completion]]:
    return await asyncio.gather(*(sampler.sample(c) for c in callers))


def plain(c: Completion) -> tuple[object, ...]:
    return (
        c.prompt_ids.tolist(), c.token_ids.tolist(), c.logprobs.tolist(),
        c.policy_version.tolist(), c.finish_reason, c.text, c.reasoning, c.answer,
    )  # fmt: skip


def test_callers_share_steps(sampler: EngineSampler) -> None:
    asyncio.run(together(sampler, CALLERS))
    shared = sampler.engine.steps

    async def in_sequence() -> None:
        for c in CALLERS:
            await sampler.sample(c)

    asyncio.run(in_sequence())
    # Negative control: one after another needs more of them.
    assert sampler.engine.steps - shared > shared


def test_each_caller_gets_what_it_gets_alone(sampler: EngineSampler) -> None:
    """To the bit."""
    shared = asyncio.run(together(sampler, CALLERS))
    for requests, got in zip(CALLERS, shared, strict=True):
        assert [plain(c) for c in got] == [plain(c) for c in sampler.run(requests)]


def test_callers_are_told_apart(sampler: EngineSampler) -> None:
    """Negative control: no two requests above have equal results, so a mix-up would show."""
    flat = [plain(c) for got in asyncio.run(together(sampler, CALLERS)) for c in got]
    assert len(set(map(str, flat))) == len(flat) == 7


def test_completions_carry_the_engines_version_and_experts(sampler: EngineSampler) -> None:
    (c,) = sampler.run([request("1", 0, experts=True)])
    assert c.policy_version.tolist() == [7] * len(c.token_ids)
    assert c.experts is not None
    assert c.experts.shape == (len(c.prompt_ids) + len(c.token_ids) - 1, 2)
    assert sampler.run([request("1", 0)])[0].experts is None


def test_an_error_reaches_its_caller_alone(sampler: EngineSampler) -> None:
    too_long = [request("1" * POSITIONS, 0)]

    async def gather() -> list[object]:
        calls = [sampler.sample(c) for c in (CALLERS[1], too_long, CALLERS[2])]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)

    first, second, third = asyncio.run(gather())
    assert isinstance(second, EngineError)
    assert isinstance(first, list) and len(first) == 4 and third == []


def test_broken_weights_are_an_error(sampler: EngineSampler, network: ZayaForCausalLM) -> None:
    good = network.model.norm.weight.detach().clone()
    with torch.no_grad():
        network.model.norm.weight.fill_(torch.nan)
    sampler.engine.load(network, 8)
    with pytest.raises(EngineError, match="no finite number"):
        sampler.run([request("1", 0)])
    with torch.no_grad():
        network.model.norm.weight.copy_(good)
    sampler.engine.load(network, 9)
    assert sampler.run([request("1", 0)])[0].policy_version[0] == 9


def test_a_broken_step_reaches_everybody_and_ends(sampler: EngineSampler) -> None:
    """A bug in the engine is not a hang."""
    step = sampler.engine.step

    def broken(admit: bool = True) -> Any:
        raise RuntimeError("the runner is gone")

    sampler.engine.step = broken  # type: ignore[method-assign]

    async def gather() -> list[object]:
        calls = [sampler.sample(c) for c in (CALLERS[1], CALLERS[3])]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)

    assert [type(r) for r in asyncio.run(gather())] == [RuntimeError] * 2
    sampler.engine.step = step  # type: ignore[method-assign]
    assert len(sampler.run(CALLERS[1])) == 4
    assert sampler.engine.scheduler.blocks.held == 0


def test_a_cancelled_caller_frees_its_place(sampler: EngineSampler) -> None:
    step = sampler.engine.step

    def slower(admit: bool = True) -> Any:
        time.sleep(0.02)
        return step(admit)

    sampler.engine.step = slower  # type: ignore[method-assign]

    async def cancel_one() -> list[Completion]:
        first = asyncio.ensure_future(sampler.sample([request("5", 3, 40)] * 3))
        second = asyncio.ensure_future(sampler.sample(CALLERS[1]))
        await asyncio.sleep(0.05)
        first.cancel()
        done = await asyncio.wait_for(second, 20)
        await asyncio.sleep(0.1)
        return done

    assert len(asyncio.run(cancel_one())) == 4
    assert not sampler.engine.busy and sampler.engine.scheduler.blocks.held == 0


def test_progress_adds_up(sampler: EngineSampler) -> None:
    heard: list[int] = []
    sampler.on_progress = heard.append
    asyncio.run(together(sampler, CALLERS))
    assert sum(heard) == 7


def test_stop_texts(sampler: EngineSampler) -> None:
    """The text ends before the first of them, the tokens with it."""
    params = SamplingParams(40, seed=2)
    (free,) = sampler.run([Request((Message("user", "1"),), params)])
    text = free.reasoning
    assert len(text) > 12
    stop = text[6:8]
    at = text.find(stop)
    params = SamplingParams(40, seed=2, stop=("zz", stop))
    (cut,) = sampler.run([Request((Message("user", "1"),), params)])
    assert cut.reasoning == text[:at] and cut.answer is None
    assert cut.finish_reason is FinishReason.STOP
    assert cut.token_ids.tolist() == free.token_ids.tolist()[: len(cut.token_ids)]


def test_the_thinking_budget_is_kept(sampler: EngineSampler) -> None:
    params = SamplingParams(20, seed=4, thinking_budget=5)
    (c,) = sampler.run([Request((Message("user", "1"),), params)])
    close = sampler.think_ids.close
    assert close in c.token_ids[:6].tolist() and c.answer is not None
    spot = c.token_ids.tolist().index(close)
    if spot == 5:
        assert c.logprobs[5] == 0.0, "it was not drawn, but written"


def test_listeners_hear_the_text_as_it_comes(sampler: EngineSampler) -> None:
    """Pieces in several parts, together reasoning and answer; the tokens are no others."""
    heard: dict[int, list[str]] = {i: [] for i in range(6)}
    asked = [request("1", i, 30) for i in range(6)]
    silent = sampler.run(asked)
    told = sampler.run([replace(r, on_text=heard[i].append) for i, r in enumerate(asked)])
    assert [plain(c) for c in told] == [plain(c) for c in silent]
    for c, pieces in zip(told, heard.values(), strict=True):
        ids = [i for i in c.token_ids.tolist() if i != sampler.tokenizer.end_think_id]
        assert "".join(pieces) == sampler.tokenizer.decode(ids)
    assert max(map(len, heard.values())) > 1


def test_what_the_prefix_cache_spared_is_told(sampler: EngineSampler) -> None:
    first = sampler.run([request("1+" * 20, 0)])[0]
    again = sampler.run([request("1+" * 20, 1)])[0]
    assert first.cached_tokens == 0 < again.cached_tokens < len(again.prompt_ids)
    assert sampler.context_length == POSITIONS
