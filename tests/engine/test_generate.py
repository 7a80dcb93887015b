"""The engine draws what a plain full-forward loop draws, whatever shares its batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from openzaya.engine import Engine
from openzaya.engine.sampling import Draws, draw, draw_torch, uniforms
from openzaya.errors import EngineError
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.types import SamplingParams

END = 39


def draws(uniform_B: np.ndarray, p: SamplingParams) -> Draws:
    def row(value: float, kind: type) -> np.ndarray:
        return np.full(len(uniform_B), value, dtype=kind)

    return Draws(
        row(p.temperature, np.float32), row(p.top_k, np.int64), row(p.top_p, np.float32),
        row(p.min_p, np.float32), uniform_B,
    )  # fmt: skip


@torch.no_grad()
def plain(
    model: ZayaForCausalLM, prompt: list[int], p: SamplingParams
) -> tuple[list[int], list[float], np.ndarray]:
    """One full forward per token: no cache, no batch."""
    tokens: list[int] = []
    logprobs: list[float] = []
    while len(tokens) < p.max_tokens and (not tokens or tokens[-1] != END):
        ids = torch.tensor(prompt + tokens)
        out = model(ids, Layout.of([len(ids)]))
        how = draws(uniforms(np.array([p.seed]), np.array([len(tokens)])), p)
        token, logp, _ = draw_torch(model.logits(out.hidden_ND[-1:]), how)
        tokens.append(int(token))
        logprobs.append(float(logp))
    return tokens, logprobs, out.experts_NL.numpy()


def requests(count: int) -> tuple[list[list[int]], list[SamplingParams]]:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 38, rng.integers(1, 12)).tolist() for _ in range(count)]
    prompts[1] = prompts[0]  # a fork: one prefill, two streams
    params = [
        SamplingParams(int(rng.integers(1, 12)), [0.0, 1.0, 0.7][i % 3], [1.0, 0.8][i % 2], i)
        for i in range(count)
    ]
    return prompts, params


@pytest.mark.parametrize("sequences", [1, 5, 64])
def test_equals_the_plain_loop(model: ZayaForCausalLM, sequences: int) -> None:
    prompts, params = requests(40)
    engine = Engine(model, END, max_sequences=sequences)
    done = engine.generate(prompts, params, capture_experts=True)
    for s, prompt, p in zip(done, prompts, params, strict=True):
        tokens, logprobs, experts = plain(model, prompt, p)
        assert s.tokens == tokens
        assert np.allclose(s.logprobs, logprobs, atol=1e-5)
        captured = s.experts
        assert captured is not None and captured.shape == (len(prompt) + len(tokens) - 1, 2)
        assert (captured == experts).all()


def test_seed_decides(model: ZayaForCausalLM) -> None:
    """Negative control: another seed gives another text."""
    engine = Engine(model, END)
    texts = {
        tuple(engine.generate([[1, 2, 3]], [SamplingParams(10, seed=s)])[0].tokens)
        for s in range(8)
    }
    assert len(texts) > 4


def test_draw_follows_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(20_000, 1)
    u = uniforms(np.arange(20_000), np.zeros(20_000, dtype=np.int64))
    token, logp, raw = draw(logits, draws(u, SamplingParams(1)))
    share = np.bincount(token, minlength=4) / 20_000
    want = logits[0].softmax(-1).numpy()
    assert np.abs(share - want).max() < 4 * (0.25 / 20_000) ** 0.5
    assert np.allclose(np.exp(logp), want[token]) and np.allclose(logp, raw)


def test_top_p_renormalises() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(4000, 1)
    u = uniforms(np.arange(4000), np.ones(4000, dtype=np.int64))
    token, logp, raw = draw(logits, draws(u, SamplingParams(1, top_p=0.7)))
    assert set(token.tolist()) == {0, 1}
    assert np.allclose(np.exp(logp), np.array([0.625, 0.375])[token])
    assert np.allclose(np.exp(raw), np.array([0.5, 0.3])[token])


def test_too_long_a_prompt_is_refused(model: ZayaForCausalLM) -> None:
    with pytest.raises(EngineError, match="exceeds"):
        Engine(model, END).generate([[1] * 60], [SamplingParams(5)])
    with pytest.raises(EngineError, match="empty"):
        Engine(model, END).generate([[]], [SamplingParams(5)])


def test_uniforms_are_uniform_and_independent() -> None:
    a = uniforms(np.arange(50_000), np.zeros(50_000, dtype=np.int64))
    b = uniforms(np.arange(50_000), np.ones(50_000, dtype=np.int64))
    assert abs(a.mean() - 0.5) < 0.01 and abs(np.corrcoef(a, b)[0, 1]) < 0.02
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.02


def test_half_precision_weights_generate(model: ZayaForCausalLM) -> None:
    """Keys, values and weights in bf16; the CCA context and the logits stay fp32."""
    half = copy.deepcopy(model).to(torch.bfloat16)
    for block, bias in zip(half.model.layers, model.balancing_biases, strict=True):
        block.mlp.gate.balancing_biases = bias
    half.tie()
    prompts, params = [[1, 5, 7, 9], [3] * 12], [SamplingParams(8, seed=i) for i in range(2)]
    done = Engine(half, end_id=-1).generate(prompts, params)
    full = Engine(model, end_id=-1).generate(prompts, params)
    for a, b in zip(done, full, strict=True):
        assert len(a.tokens) == 8 and abs(a.logprobs[0] - b.logprobs[0]) < 0.3
