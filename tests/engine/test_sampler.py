"""Concurrent callers share one call of the engine, and none of them notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from openzaya.config.model import ModelConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.errors import EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.types import Completion, Message, Request, SamplingParams

POSITIONS = 64


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_phrase_tokenizer({}, ["user\n", "assistant\n"], "0123456789+= \n")


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Engine:
    torch.set_num_threads(1)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, num_experts=4, moe_intermediate_size=32,
        router_hidden_size=16, max_position_embeddings=POSITIONS, initializer_range=0.2,
    )  # fmt: skip
    return Engine(ZayaForCausalLM(config).initialise(1), tokenizer.im_end_id, version=7)


def request(text: str, seed: int, max_tokens: int = 9, experts: bool = False) -> Request:
    return Request((Message("user", text),), SamplingParams(max_tokens, seed=seed), experts)


CALLERS = [[request(f"{c}+{i}", 10 * c + i, 4 + i) for i in range(c)] for c in (1, 4, 0, 2)]
"""Four callers with different numbers of requests, one with none."""


class Counting(EngineSampler):
    """Remembers the size of every engine call."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, progress: Callable[[int], None] | None = None
    ) -> None:
        shared = Engine(engine.model, engine.end_id, max_batch=3, version=engine.version)
        super().__init__(shared, tokenizer, progress)
        self.calls: list[int] = []
        generate = shared.generate

        def counted(prompts: Sequence[Sequence[int]], *args: object, **more: object) -> object:
            self.calls.append(len(prompts))
            return generate(prompts, *args, **more)  # type: ignore[arg-type]

        shared.generate = counted  # type: ignore[method-assign,assignment]


@pytest.fixture
def sampler(engine: Engine, tokenizer: Tokenizer) -> Counting:
    return Counting(engine, tokenizer)


async def together(sampler: EngineSampler, callers: list[list[Request]]) -> list[list[Completion]]:
    return await asyncio.gather(*(sampler.sample(c) for c in callers))


def plain(c: Completion) -> tuple[object, ...]:
    """What must be equal bit by bit; log-probabilities may round with the batch."""
    return (
        c.prompt_ids.tolist(), c.token_ids.tolist(), c.policy_version.tolist(), c.finish_reason,
        c.text, c.reasoning, c.answer,
    )  # fmt: skip


def test_callers_of_one_turn_share_one_call(sampler: Counting) -> None:
    asyncio.run(together(sampler, CALLERS))
    assert sampler.calls == [7]


def test_callers_of_different_turns_do_not(sampler: Counting) -> None:
    """Negative control: a caller who waits for another's result comes too late to share."""

    async def in_sequence() -> None:
        for c in CALLERS:
            await sampler.sample(c)

    asyncio.run(in_sequence())
    assert sampler.calls == [1, 4, 0, 2]


def test_a_caller_started_by_a_result_joins_the_next_call(sampler: Counting) -> None:
    """Two Markovian-RSA runs go round by round together, without an agreement between them."""

    async def rounds(first: int) -> None:
        for i in range(3):
            await sampler.sample([request(f"{first}", i)])

    async def both() -> None:
        await asyncio.gather(rounds(1), rounds(2))

    asyncio.run(both())
    assert sampler.calls == [2, 2, 2]


def test_each_caller_gets_what_it_gets_alone(sampler: Counting) -> None:
    shared = asyncio.run(together(sampler, CALLERS))
    for requests, got in zip(CALLERS, shared, strict=True):
        alone = asyncio.run(sampler.sample(requests))
        assert [plain(c) for c in got] == [plain(c) for c in alone]
        for a, b in zip(got, alone, strict=True):
            assert np.allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_callers_are_told_apart(sampler: Counting) -> None:
    """Negative control: no two requests above have equal results, so a mix-up would show."""
    flat = [plain(c) for got in asyncio.run(together(sampler, CALLERS)) for c in got]
    assert len(set(map(str, flat))) == len(flat) == 7


def test_the_shared_call_is_the_synchronous_one(sampler: Counting) -> None:
    (got,) = asyncio.run(together(sampler, [CALLERS[1]]))
    assert [plain(c) for c in got] == [plain(c) for c in sampler.run(CALLERS[1])]


def test_completions_carry_the_engines_version_and_experts(sampler: Counting) -> None:
    (c,) = sampler.run([request("1", 0, experts=True)])
    assert c.policy_version.tolist() == [7] * len(c.token_ids)
    assert c.experts is not None
    assert c.experts.shape == (len(c.prompt_ids) + len(c.token_ids) - 1, 2)
    assert sampler.run([request("1", 0)])[0].experts is None


def test_an_error_reaches_every_caller(sampler: Counting) -> None:
    too_long = [request("1" * POSITIONS, 0)]

    async def gather() -> list[object]:
        calls = [sampler.sample(c) for c in (CALLERS[1], too_long, CALLERS[2])]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)

    results = asyncio.run(gather())
    assert [type(r) for r in results] == [EngineError] * 3
    # The failed batch leaves nothing behind.
    assert len(asyncio.run(sampler.sample(CALLERS[1]))) == 4


@pytest.mark.filterwarnings("ignore")
def test_a_cancelled_caller_does_not_hold_up_the_others(sampler: Counting) -> None:
    async def cancel_one() -> bool:
        first = asyncio.ensure_future(sampler.sample(CALLERS[0]))
        second = asyncio.ensure_future(sampler.sample(CALLERS[1]))
        await asyncio.sleep(0)  # both have asked, the engine has not run
        first.cancel()
        for _ in range(9):  # the engine runs within a turn, so turns count and seconds do not
            await asyncio.sleep(0)
        return second.done() and len(second.result()) == 4

    assert asyncio.run(cancel_one())


def test_progress_adds_up(engine: Engine, tokenizer: Tokenizer) -> None:
    heard: list[int] = []
    sampler = Counting(engine, tokenizer, heard.append)
    asyncio.run(together(sampler, CALLERS))
    assert heard == [3, 3, 1]  # waves of at most max_batch
