"""The trainer sees exactly what the sampler drew: log-probabilities, experts, gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from openzaya.config.base import load_recipe
from openzaya.config.rl_loss import LossConfig
from openzaya.engine import Engine
from openzaya.model import ZayaForCausalLM
from openzaya.rl import trainer
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


def gradients(model: ZayaForCausalLM, rollouts: list[Rollout], limit: int) -> torch.Tensor:
    model.zero_grad()
    accumulate(
        model, rollouts, total_rollouts=16, horizon=12, loss=LossConfig(),
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


def test_logits_in_pieces_are_the_same(
    model: ZayaForCausalLM, rollouts: list[Rollout], monkeypatch: pytest.MonkeyPatch
) -> None:
    completions = [r.completion for r in rollouts]
    whole, (logp, entropy, _) = (
        gradients(model, rollouts, 10_000),
        token_logprobs(model, completions),
    )
    monkeypatch.setattr(trainer, "LOGITS_AT_ONCE", 40 * 7)  # seven rows of the vocabulary
    cut, (logp_7, entropy_7, _) = (
        gradients(model, rollouts, 10_000),
        token_logprobs(model, completions),
    )
    torch.testing.assert_close(logp_7, logp)
    torch.testing.assert_close(entropy_7, entropy)
    assert (whole - cut).abs().max() < 1e-6 * whole.abs().max().clamp(min=1)


def test_replay_keeps_the_router_learning(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    model.zero_grad()
    accumulate(
        model, rollouts, total_rollouts=16, horizon=12, loss=LossConfig(),
        tokens_per_microbatch=10_000,
    )  # fmt: skip
    grads = {n: p.grad for n, p in model.named_parameters()}
    for name in grads:
        if "router_mlp.out_proj" in name:
            grad = grads[name]
            assert grad is not None and grad.abs().max() > 0
    model.zero_grad()


LOSSES = [
    ["kind=dppo", "delta=0.1"], ["kind=ppo-clip"], ["kind=cispo"], ["kind=gspo"],
    ["kind=tis", "level=rollout"], ["kind=icepop"], ["kind=reinforce", "aggregation=rollout_mean"],
]  # fmt: skip


@pytest.mark.parametrize("overrides", LOSSES)
def test_any_loss_in_micro_batches(
    model: ZayaForCausalLM, rollouts: list[Rollout], overrides: list[str]
) -> None:
    """Off policy: the engine's log-probabilities are moved, so that ratios differ from 1."""
    noise = np.random.default_rng(0)
    stale = [
        Rollout(
            dataclasses.replace(
                r.completion,
                logprobs=r.completion.logprobs
                + noise.normal(0, 0.05, len(r.completion.logprobs)).astype(np.float32),
            ),
            r.advantage,
        )
        for r in rollouts
    ]

    def whole(limit: int) -> tuple[torch.Tensor, dict[str, float]]:
        model.zero_grad()
        stats, _ = accumulate(
            model, stale, total_rollouts=16, horizon=12, tokens_per_microbatch=limit,
            loss=load_recipe(LossConfig, None, overrides),
        )  # fmt: skip
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        return torch.cat(grads), stats.metrics()

    (one, metrics), (cut, again) = whole(10_000), whole(30)
    assert one.abs().max() > 0
    assert (one - cut).abs().max() < 2e-6 * one.abs().max().clamp(min=1)
    assert metrics == pytest.approx(again, rel=1e-3, abs=1e-6)
    assert {"loss", "entropy", "masked_up", "masked_down", "mismatch_kl_kept"} <= set(metrics)


def test_statistics_of_masked_tokens(model: ZayaForCausalLM, rollouts: list[Rollout]) -> None:
    """One token of a praised rollout is thought far less likely by the engine: masked, up."""
    praised = next(r for r in rollouts if r.advantage > 0)
    logprobs = praised.completion.logprobs.copy()
    at = int(logprobs.argmax())
    logprobs[at] -= 3.0
    moved = Rollout(dataclasses.replace(praised.completion, logprobs=logprobs), praised.advantage)
    stats, _ = accumulate(
        model, [moved], total_rollouts=1, horizon=12, tokens_per_microbatch=1000,
        loss=LossConfig(delta=0.01),
    )  # fmt: skip
    model.zero_grad()
    metrics = stats.metrics()
    assert metrics["masked_up"] == 1 / len(logprobs) and metrics["masked_down"] == 0
    assert metrics["mismatch_kl_masked"] == pytest.approx(np.expm1(3) - 3, rel=1e-4)
    assert metrics["mismatch_kl_kept"] < 1e-9


def test_temperature_is_the_samplers(model: ZayaForCausalLM) -> None:
    params = [SamplingParams(12, temperature=0.6, seed=3)]
    (s,) = Engine(model, end_id=39).generate([[1, 2, 3]], params, capture_experts=True)
    c = Completion(
        np.array(s.prompt, dtype=np.int32), np.array(s.tokens, dtype=np.int32),
        np.array(s.logprobs, dtype=np.float32), np.zeros(len(s.tokens), dtype=np.int32),
        FinishReason.LENGTH, "", "", None, s.experts,
    )  # fmt: skip
    with torch.no_grad():
        told, _, _ = token_logprobs(model, [c], temperature=0.6)
        untold, _, _ = token_logprobs(model, [c])
    assert np.abs(told.numpy() - c.logprobs).max() < 1e-5
    assert np.abs(untold.numpy() - c.logprobs).max() > 1e-2


def test_tail_buffer_evicts_the_oldest_and_survives_a_checkpoint() -> None:
    buffer = TailBuffer(2)
    for i in range(3):
        buffer.add(TailGroup("t", i, ("a", "b"), 0))
    assert [g.index for g in buffer.groups] == [1, 2]
    copy = TailBuffer(2)
    copy.load_state_dict(buffer.state_dict())
    assert list(copy.groups) == list(buffer.groups)
