"""A verifiable gate before a chat reward: 0 where a rule is broken, else how good the answer is.

The report's instruction-following stage: a failed checker gives 0, a pass the normalised score of
the reward model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openzaya.envs.rewards.base import ChatReward, RewardError
from openzaya.types import Environment, Outcome, Problem, Score


class GatedReward:
    """Scores answers to the problems of one environment; only those that pass cost a request."""

    def __init__(self, env: Environment, reward: ChatReward) -> None:
        self.env, self.reward = env, reward

    async def score(self, problem: Problem, answer: str | None) -> Score:
        return (await self.score_batch([(problem, answer)]))[0]

    async def score_batch(self, pairs: Sequence[tuple[Problem, str | None]]) -> list[Score]:
        """In order. Where the reward has no score, the outcome is a verifier error: no evidence."""
        scores = [self.env.score(problem, answer) for problem, answer in pairs]
        passed = [i for i, score in enumerate(scores) if score.correct]
        texts = [(pairs[i][0].prompt, pairs[i][1] or "") for i in passed]
        values = await self.reward.score_batch(texts) if texts else []
        for i, value in zip(passed, values, strict=True):
            if isinstance(value, RewardError):
                scores[i] = Score(0.0, Outcome.VERIFIER_ERROR, scores[i].format_ok, value.message)
            else:
                reason = f"{scores[i].reason}; chat reward {value:.3f}"
                scores[i] = replace(scores[i], reward=value, reason=reason)
        return scores
