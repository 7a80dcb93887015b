"""Which rollouts of a batch are learnt from, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from openzaya.config.rl_loss import AdvantageConfig
from openzaya.rl.advantage import advantages, keep_group, length_reward
from openzaya.rl.rollout import Judged
from openzaya.rl.trainer import Rollout
from openzaya.types import FinishReason, Outcome


@dataclass(frozen=True, slots=True)
class LengthTerm:
    """The length reward's constants at one step, for one source (`rl.advantage.length_reward`)."""

    weight: float
    max_length: int
    free_length: int
    best_rate: float
    """p*: how well the source has been solved at best."""
    rate_tolerance: float


def counted(rollouts: Sequence[Judged], overlong_filter: bool) -> list[Judged]:
    """Those that are evidence: a verifier that failed says nothing of them, and the overlong filter
    leaves out what the budget cut."""
    return [
        r
        for r in rollouts
        if r.score.outcome is not Outcome.VERIFIER_ERROR
        and not (overlong_filter and r.completion.finish_reason is FinishReason.LENGTH)
    ]


def has_contrast(rollouts: Sequence[Judged]) -> bool:
    """Whether rewards differ: without that, a group says nothing about its rollouts."""
    return len({r.reward for r in rollouts}) > 1


def weigh(
    rollouts: Sequence[Judged], config: AdvantageConfig, length: LengthTerm | None = None
) -> list[Rollout]:
    """One group's rollouts with their advantages; nothing where there is no contrast."""
    if not has_contrast(rollouts):
        return []
    reward_1G = torch.tensor([[r.reward for r in rollouts]], dtype=torch.float32)
    term_1G = None
    if length is not None:
        term_1G = length_reward(
            reward_1G,
            torch.tensor([[len(r.completion.token_ids) for r in rollouts]]),
            torch.tensor([length.best_rate]),
            weight=length.weight, max_length=length.max_length, free_length=length.free_length,
            rate_tolerance=length.rate_tolerance,
        )  # fmt: skip
    assert keep_group(reward_1G)[0]
    advantage = advantages(config, reward_1G, term_1G)[0].tolist()
    return [Rollout(r.completion, a) for r, a in zip(rollouts, advantage, strict=True)]
