"""From rewards of a group to advantages. Rows are prompts, columns the G rollouts of one prompt.

A group without contrast (all rewards equal) says nothing about its rollouts: its advantage is
exactly 0 and `keep_group` drops it (dynamic sampling, DAPO arXiv 2503.14476).
"""

from __future__ import annotations

import torch
from torch import Tensor

from openzaya.config.rl_loss import AdvantageConfig


def advantages(
    config: AdvantageConfig, rewards_PG: Tensor, length_PG: Tensor | None = None
) -> Tensor:
    """(P, G) by the configured kind; `length_PG` is what `length_reward` gave (maxrl only).

    A group without contrast in its rewards gets zeros: its lengths alone are no evidence.
    """
    if length_PG is not None:
        assert config.kind == "maxrl"
        term_PG = with_length_term(rewards_PG, length_PG, config.centre)
        return _contrast_only(rewards_PG, term_PG)
    return {"maxrl": maxrl, "grpo": grpo, "dr_grpo": dr_grpo}[config.kind](rewards_PG)


def keep_group(rewards_PG: Tensor) -> Tensor:
    """(P,) bool: groups whose rewards differ."""
    return rewards_PG.amax(1) > rewards_PG.amin(1)


def maxrl(rewards_PG: Tensor) -> Tensor:
    """A = (r - mean) / mean for rewards in [0, 1] (report arXiv 2605.05365; MaxRL).

    With binary rewards its policy gradient is, in expectation, that of log-likelihood of success
    truncated to order G-1: -sum over k < G of (1 - p)^k / k.
    """
    advantage_PG = with_length_term(rewards_PG, torch.zeros_like(rewards_PG))
    return _contrast_only(rewards_PG, advantage_PG)


def grpo(rewards_PG: Tensor) -> Tensor:
    """A = (r - mean) / std, the behavioural stage's form (GRPO, arXiv 2402.03300).

    std is the sample one (G - 1), as in VeRL.
    """
    centred_PG = dr_grpo(rewards_PG)
    std_P1 = rewards_PG.std(1, keepdim=True)
    return _contrast_only(rewards_PG, centred_PG / std_P1)


def dr_grpo(rewards_PG: Tensor) -> Tensor:
    """A = r - mean: no std, so easy and hard prompts keep their weight (arXiv 2503.20783)."""
    return _contrast_only(rewards_PG, rewards_PG - rewards_PG.mean(1, keepdim=True))


def with_length_term(rewards_PG: Tensor, length_PG: Tensor, centre: bool = True) -> Tensor:
    """MaxRL with a length reward in the numerator only: A = ((r + dr) - baseline) / mean(r).

    The report leaves open whether the baseline is mean(r + dr), which keeps the group's advantages
    at zero mean (`centre`), or mean(r). Zero where nothing was solved. A group solved throughout
    still ranks its rollouts by length; whether it is trained on is `keep_group`'s decision.
    """
    mean_P1 = rewards_PG.mean(1, keepdim=True)
    baseline_P1 = mean_P1 + length_PG.mean(1, keepdim=True) if centre else mean_P1
    return torch.where(mean_P1 > 0, (rewards_PG + length_PG - baseline_P1) / mean_P1, 0.0)


def length_reward(
    rewards_PG: Tensor,
    lengths_PG: Tensor,
    best_rate_P: Tensor,
    *,
    weight: float,
    max_length: int,
    free_length: int,
    rate_tolerance: float,
) -> Tensor:
    """dr = c * p * m * lambda: correct rollouts earn by being short (report, Eq. 8-10).

    lambda falls from 1/2 at the group's shortest correct length to -1/2 at `max_length`; the first
    `free_length` (T_l) tokens beyond the shortest cost nothing. m selects correct rollouts of
    groups with more than one of them whose solve rate p is within `rate_tolerance` (T_acc) of the
    source's best so far, `best_rate_P` (p*). `weight` is c, lengths count tokens.
    """
    correct_PG = rewards_PG == 1
    rate_P1 = correct_PG.float().mean(1, keepdim=True)
    lengths_PG = lengths_PG.float()
    # Groups without a correct rollout get max_length here; m excludes them below.
    shortest_P1 = torch.where(correct_PG, lengths_PG, max_length).amin(1, keepdim=True)
    # At least one token wide: a group at max_length throughout must not divide by zero.
    span_P1 = (max_length - shortest_P1).clamp(min=1)
    slope_PG = 0.5 - ((lengths_PG - shortest_P1) / span_P1).clamp(0, 1)
    lambda_PG = torch.where(lengths_PG <= shortest_P1 + free_length, 0.5, slope_PG)
    solved_P1 = (rate_P1 > best_rate_P[:, None] - rate_tolerance) & (
        correct_PG.sum(1, keepdim=True) > 1
    )
    return weight * rate_P1 * (solved_P1 & correct_PG) * lambda_PG


def _contrast_only(rewards_PG: Tensor, advantage_PG: Tensor) -> Tensor:
    """Zero where a group has no contrast, also where 0/0 or rounding says otherwise."""
    return torch.where(keep_group(rewards_PG)[:, None], advantage_PG, 0.0)
