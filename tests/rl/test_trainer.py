"""The trainer sees exactly what the sampler drew: log-probabilities, experts, gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from openzaya.engine import Engine
from openzaya.model import ZayaForCausalLM
from openzaya.rl.tails import TailBuffer, TailGroup
from openzaya.rl.trainer import Rollout, accumulate, token_logprobs
from openzaya.types import Completion, FinishReason, SamplingParams


@pytest.fixture(scope="module")
def rollouts(model: ZayaForCausalLM) -> list[Rollout]:
    prompts = [[1 + (3 * i + j) % 38 for j in range(3 + i)] for i in range(8)]
    params = [SamplingParams(4 + i, seed=i) for i in range(8)]
    running = Engine(model, end_id=39).generate(prompts, params, capture_experts=True)
    return [
        Rollout(
            Completion(
                np.array(s.prompt, dtype=np.int32),
                np.array(s.tokens, dtype=np.int32),
                np.array(s.logprobs, dtype=np.float32),
                np.zeros(len(s.tokens), dtype=np.int32),
                s.finish or FinishReason.LENGTH,
                "", "", None,
                s.experts,
            ),
            advantage=(-1.0) ** i * (1 + i / 8),
        )
        for i, s in enumerate(running)
    ]  # fmt: skip


def gap(model: ZayaForCausalLM, completions: list[Completion]) -> float:
    with torch.no_grad():
        logp_N, _, _ = token_logprobs(model, completions)
    behaviour = np.concatenate([c.logprobs for c in completions])
    return float(np.abs(logp_N.numpy() - behaviour).max())


def test_trainer_and_sampler_agree(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    assert gap(model, [r.completion for r in rollouts]) < 1e-5


def test_shifted_experts_are_seen(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    """Negative control: router replay off by one position moves the log-probabilities."""

    shifted = [
        dataclasses.replace(r.completion, experts=np.roll(r.completion.experts, 1, axis=0))
        for r in rollouts
        if r.completion.experts is not None
    ]
    assert gap(model, shifted) > 1e-3


def gradients(
    model: ZayaForCausalLM, rollouts: list[Rollout], limit: int, cap: float | None = 10.0
) -> torch.Tensor:
    model.zero_grad()
    accumulate(
        model, rollouts, total_rollouts=16, horizon=12, delta=0.1, ratio_cap=cap,
        tokens_per_microbatch=limit,
    )  # fmt: skip
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return torch.cat(grads)


def test_microbatches_do_not_change_the_gradient(
    model: ZayaForCausalLM, rollouts: list[Rollout]
) -> None:
    whole, cut = gradients(model, rollouts, 10_000), gradients(model, rollouts, 30)
    assert (whole - cut).abs().max() < 1e-6 * whole.abs().max().clamp(min=1)


def test_gradient_equals_a_slow_reference(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    """On policy: sum over rollouts of -A * log pi, over (16 rollouts * horizon 12)."""
    fast = gradients(model, rollouts, 10_000)
    model.zero_grad()
    for r in rollouts:
        logp_T, _, _ = token_logprobs(model, [r.completion])
        (-r.advantage * logp_T.sum() / (16 * 12)).backward()
    slow = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    assert (fast - slow).abs().max() < 1e-5 * slow.abs().max()
    assert slow.abs().max() > 0


def test_replay_keeps_the_router_learning(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    model.zero_grad()
    accumulate(
        model, rollouts, total_rollouts=16, horizon=12, delta=0.1, ratio_cap=10.0,
        tokens_per_microbatch=10_000,
    )  # fmt: skip
    grads = {n: p.grad for n, p in model.named_parameters()}
    for name in grads:
        if "router_mlp.out_proj" in name:
            grad = grads[name]
            assert grad is not None and grad.abs().max() > 0
    model.zero_grad()


def test_tail_buffer_evicts_the_oldest_and_survives_a_checkpoint() -> None:
    buffer = TailBuffer(2)
    for i in range(3):
        buffer.add(TailGroup("t", i, ("a", "b"), 0))
    assert [g.index for g in buffer.groups] == [1, 2]
    copy = TailBuffer(2)
    copy.load_state_dict(buffer.state_dict())
    assert list(copy.groups) == list(buffer.groups)
