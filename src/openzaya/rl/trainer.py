"""One policy-gradient step on scored rollouts: log-probabilities under router replay, the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from openzaya.config.rl_loss import LossConfig
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.rl.loss import token_weights
from openzaya.rl.losses import token_loss
from openzaya.rl.monitors import effective_sample_size, mismatch, sampled_kl
from openzaya.train.loss import expert_counts
from openzaya.types import Completion

LOGITS_AT_ONCE = 1 << 26
"""Logits of a micro-batch beyond these (256 MB) are made in pieces, and again in backward: all of
them would be the largest tensor of a step."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion with its advantage, ready to train on."""

    completion: Completion
    advantage: float


@dataclass(slots=True)
class StepStats:
    """What one step saw; sums over generated tokens until `metrics`."""

    tokens: int = 0
    loss: float = 0.0
    entropy: float = 0.0
    masked_up: int = 0
    masked_down: int = 0
    logp: list[Tensor] = field(default_factory=list)
    behaviour: list[Tensor] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """`masked_up` and `masked_down` are shares of all tokens: those without gradient that
        would be pushed up, and down. The KL is the engine's from the trainer, staleness included,
        over all tokens, and over those with and without gradient where there are any."""
        if not self.tokens:
            return {}
        logp_N, behaviour_N = torch.cat(self.logp), torch.cat(self.behaviour)
        kept_N = torch.cat(self.kept)
        drift = mismatch(logp_N, behaviour_N)
        parts = {"kept": kept_N, "masked": ~kept_N}
        return {
            "loss": self.loss,
            "entropy": self.entropy / self.tokens,
            "masked_up": self.masked_up / self.tokens,
            "masked_down": self.masked_down / self.tokens,
            "mismatch_kl": drift.kl,
            "mismatch_max": drift.max_logp_gap,
            **({} if math.isnan(drift.pearson) else {"mismatch_pearson": drift.pearson}),
            **{
                f"mismatch_kl_{name}": sampled_kl(logp_N[part_N], behaviour_N[part_N])
                for name, part_N in parts.items()
                if part_N.any()
            },
            "effective_sample_size": effective_sample_size(logp_N, behaviour_N),
        }


def token_logprobs(
    model: ZayaForCausalLM,
    completions: Sequence[Completion],
    *,
    temperature: float = 1.0,
    replay: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability and entropy of every generated token, and the experts used (N, L).

    The router repeats the engine's choices (router replay, arXiv 2510.11370); the gate is the
    live softmax at them, so the router still learns. Without `replay` it chooses for itself.
    `temperature` is the sampler's; truncation (top-p, top-k, min-p) is not replayed.
    """
    device = model.lm_head.weight.device
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

    def tensor(parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts)).long().to(device)

    replay_NL = tensor(experts) if replay else None
    out = model(tensor(ids), Layout.of(lengths, device=device), replay_NL=replay_NL)
    hidden_ND, target_N = out.hidden_ND[tensor(positions)], tensor(targets)

    def chosen(hidden_ND: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
        logp_NV = (model.logits(hidden_ND) / temperature).log_softmax(-1)
        entropy_N = -(logp_NV.detach().exp() * logp_NV.detach()).sum(-1)
        return logp_NV.gather(1, target_N[:, None])[:, 0], entropy_N

    rows = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    if len(target_N) <= rows:
        return *chosen(hidden_ND, target_N), out.experts_NL
    pieces = [
        checkpoint(chosen, *piece, use_reentrant=False)
        for piece in zip(hidden_ND.split(rows), target_N.split(rows), strict=True)
    ]
    logp, entropy = zip(*pieces, strict=True)
    return torch.cat(logp), torch.cat(entropy), out.experts_NL


def accumulate(
    model: ZayaForCausalLM,
    rollouts: Sequence[Rollout],
    *,
    total_rollouts: int,
    horizon: int,
    tokens_per_microbatch: int,
    loss: LossConfig,
    total_tokens: int | None = None,
    temperature: float = 1.0,
) -> tuple[StepStats, Tensor]:
    """Backward over all rollouts; how they are cut into micro-batches does not change the sum.

    `total_rollouts` counts the whole batch, dropped groups included, so a step with few useful
    groups is a small step; `total_tokens` (which the aggregation token_mean divides by) likewise,
    None: those of `rollouts`. Returns statistics and the experts' loads (L, E).
    """
    stats = StepStats()
    config, device = model.config, model.lm_head.weight.device
    counts_LE = torch.zeros(config.num_hidden_layers, config.router_classes, dtype=torch.long)
    if total_tokens is None:
        total_tokens = sum(len(r.completion.token_ids) for r in rollouts)
    for part in microbatches(rollouts, tokens_per_microbatch):
        logp_N, entropy_N, experts_NL = token_logprobs(
            model, [r.completion for r in part], temperature=temperature
        )
        lengths = [len(r.completion.token_ids) for r in part]
        behaviour_N = torch.from_numpy(np.concatenate([r.completion.logprobs for r in part]))
        behaviour_N = behaviour_N.to(device)
        advantage_N = torch.cat(
            [torch.full((n,), r.advantage) for n, r in zip(lengths, part, strict=True)]
        ).to(device)
        loss_N, kept_N = token_loss(loss, logp_N, behaviour_N, advantage_N, lengths)
        weight_N = token_weights(
            lengths, loss.aggregation, total_rollouts=total_rollouts, total_tokens=total_tokens,
            horizon=horizon,
        ).to(device)  # fmt: skip
        summed = (loss_N * weight_N).sum()
        summed.backward()
        counts_LE += expert_counts(experts_NL, config.router_classes).cpu()
        stats.tokens += len(loss_N)
        stats.loss += summed.item()
        stats.entropy += entropy_N.sum().item()
        stats.masked_up += int((~kept_N & (advantage_N > 0)).sum())
        stats.masked_down += int((~kept_N & (advantage_N <= 0)).sum())
        stats.logp.append(logp_N.detach().cpu())
        stats.behaviour.append(behaviour_N.cpu())
        stats.kept.append(kept_N.cpu())
    return stats, counts_LE


def microbatches(rollouts: Sequence[Rollout], limit: int) -> list[list[Rollout]]:
    """Cut where `limit` tokens, prompts included, would be passed; a longer rollout is alone."""
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
