"""One policy-gradient step on scored rollouts: log-probabilities under router replay, DPPO loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openzaya.model import Layout, ZayaForCausalLM
from openzaya.rl.loss import binary_tv_mask, policy_loss, sum_per_rollout_mean
from openzaya.rl.monitors import effective_sample_size, mismatch
from openzaya.train.loss import expert_counts
from openzaya.types import Completion


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion with its advantage, ready to train on."""

    completion: Completion
    advantage: float


@dataclass(slots=True)
class StepStats:
    """What one step saw; sums over generated tokens until `metrics`."""

    tokens: int = 0
    entropy: float = 0.0
    masked_up: int = 0
    masked_down: int = 0
    logp: list[Tensor] | None = None
    behaviour: list[Tensor] | None = None

    def metrics(self) -> dict[str, float]:
        if not self.tokens or not self.logp or not self.behaviour:
            return {}
        logp_N, behaviour_N = torch.cat(self.logp), torch.cat(self.behaviour)
        drift = mismatch(logp_N, behaviour_N)
        return {
            "entropy": self.entropy / self.tokens,
            "masked_up": self.masked_up / self.tokens,
            "masked_down": self.masked_down / self.tokens,
            "mismatch_kl": drift.kl,
            "mismatch_max": drift.max_logp_gap,
            "effective_sample_size": effective_sample_size(logp_N, behaviour_N),
        }


def token_logprobs(
    model: ZayaForCausalLM, completions: Sequence[Completion]
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability and entropy of every generated token, and the experts used (N, L).

    The router repeats the engine's choices (router replay, arXiv 2510.11370); the gate is the
    live softmax at them, so the router still learns. Temperature 1 is assumed of the sampler.
    """
    ids, lengths, positions, targets, experts = [], [], [], [], []
    start = 0
    for c in completions:
        assert c.experts is not None, "router replay needs return_experts"
        row = np.concatenate([c.prompt_ids, c.token_ids[:-1]])
        ids.append(row)
        lengths.append(len(row))
        positions.append(start + np.arange(len(c.prompt_ids) - 1, len(row)))
        targets.append(c.token_ids)
        experts.append(c.experts)
        start += len(row)
    ids_N = torch.from_numpy(np.concatenate(ids)).long()
    replay_NL = torch.from_numpy(np.concatenate(experts)).long()
    out = model(ids_N, Layout.of(lengths), replay_NL=replay_NL)
    logits = model.logits(out.hidden_ND[torch.from_numpy(np.concatenate(positions))])
    logp_NV = logits.log_softmax(-1)
    target_N = torch.from_numpy(np.concatenate(targets)).long()
    entropy_N = -(logp_NV.detach().exp() * logp_NV.detach()).sum(-1)
    return logp_NV.gather(1, target_N[:, None])[:, 0], entropy_N, replay_NL


def accumulate(
    model: ZayaForCausalLM,
    rollouts: Sequence[Rollout],
    *,
    total_rollouts: int,
    horizon: int,
    delta: float,
    ratio_cap: float | None,
    tokens_per_microbatch: int,
) -> tuple[StepStats, Tensor]:
    """Backward over all rollouts; how they are cut into micro-batches does not change the sum.

    `total_rollouts` counts the whole batch, dropped groups included, so a step with few useful
    groups is a small step. Returns statistics and the experts' loads (L, E).
    """
    stats = StepStats(logp=[], behaviour=[])
    config = model.config
    counts_LE = torch.zeros(config.num_hidden_layers, config.router_classes, dtype=torch.long)
    for part in _microbatches(rollouts, tokens_per_microbatch):
        logp_N, entropy_N, experts_NL = token_logprobs(model, [r.completion for r in part])
        behaviour_N = torch.from_numpy(np.concatenate([r.completion.logprobs for r in part]))
        advantage_N = torch.cat(
            [torch.full((len(r.completion.token_ids),), r.advantage) for r in part]
        )
        loss_N = policy_loss(logp_N, behaviour_N, advantage_N, delta=delta, ratio_cap=ratio_cap)
        sum_per_rollout_mean(loss_N, total_rollouts, horizon).backward()
        counts_LE += expert_counts(experts_NL, config.router_classes)
        masked_N = ~binary_tv_mask(logp_N, behaviour_N, advantage_N, delta)
        stats.tokens += len(loss_N)
        stats.entropy += entropy_N.sum().item()
        stats.masked_up += int((masked_N & (advantage_N > 0)).sum())
        stats.masked_down += int((masked_N & (advantage_N <= 0)).sum())
        assert stats.logp is not None and stats.behaviour is not None
        stats.logp.append(logp_N.detach())
        stats.behaviour.append(behaviour_N)
    return stats, counts_LE


def _microbatches(rollouts: Sequence[Rollout], limit: int) -> list[list[Rollout]]:
    parts: list[list[Rollout]] = []
    room = 0
    for rollout in rollouts:
        tokens = len(rollout.completion.prompt_ids) + len(rollout.completion.token_ids)
        if tokens > room:
            parts.append([])
            room = limit
        parts[-1].append(rollout)
        room -= tokens
    return parts
