"""The `Sampler` protocol over HTTP is the one in this process."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from openzaya.engine import EngineSampler
from openzaya.engine.http import HTTPSampler
from openzaya.errors import EngineError
from openzaya.types import Message, Request, SamplingParams
from tests.serve.conftest import KNOWN, Running


def requests(experts: bool) -> list[Request]:
    return [
        Request(
            (Message("user", KNOWN[i % 3][0]),),
            SamplingParams(60, 1.3, 0.9, seed=i * 2**40 + 5, top_k=[0, 20][i % 2]), experts,
        )
        for i in range(9)
    ]  # fmt: skip


def test_exact_over_http(running: Running) -> None:
    service = running.service

    async def both() -> None:
        near = EngineSampler(service.engine, service.tokenizer)
        async with HTTPSampler(f"{running.url}/v1", "parrot", service.tokenizer, exact=True) as far:
            over = await far.sample(requests(True))
        here = await near.sample(requests(True))
        for a, b in zip(over, here, strict=True):
            assert a.text == b.text and (a.reasoning, a.answer) == (b.reasoning, b.answer)
            assert a.finish_reason is b.finish_reason
            for name in ("prompt_ids", "token_ids", "logprobs", "policy_version"):
                assert np.array_equal(getattr(a, name), getattr(b, name)), name
            assert a.experts is not None and b.experts is not None
            assert np.array_equal(a.experts, b.experts)

    asyncio.run(both())


def test_without_exact_the_texts_are_the_same(running: Running) -> None:
    service = running.service

    async def both() -> None:
        async with HTTPSampler(f"{running.url}/v1", "parrot", service.tokenizer) as far:
            (got,) = await far.sample(
                [Request((Message("user", KNOWN[0][0]),), SamplingParams(80, 0.0))]
            )
        assert (got.reasoning, got.answer) == KNOWN[0][1:] and np.isnan(got.logprobs).all()

    asyncio.run(both())


def test_an_endpoint_that_does_not_say_is_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: text alone is not taken for exact."""
    from openzaya.serve import reply

    monkeypatch.setattr(reply.Reply, "extras", lambda *_: {})
    service = running.service

    async def ask() -> None:
        async with HTTPSampler(f"{running.url}/v1", "parrot", service.tokenizer, exact=True) as far:
            await far.sample(requests(False)[:1])

    with pytest.raises(EngineError, match="did not say what it drew"):
        asyncio.run(ask())
