"""Markovian RSA's knobs, in the report's letters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from openzaya.config.base import Config


class RSAConfig(Config):
    """N parallel traces, T rounds of aggregation over C bounded tails (report, Markovian RSA)."""

    population: PositiveInt = 16
    """N: rollouts per round."""
    candidates: PositiveInt = 4
    """C: tails drawn into one aggregation prompt, without replacement."""
    rounds: NonNegativeInt = 2
    """T: aggregation rounds after round 0. 0 is plain parallel sampling."""
    tail: PositiveInt = 4096
    """tau: tokens of a rollout's end that survive it. tau = beta is full RSA."""
    budget: PositiveInt = 40960
    """beta: tokens per rollout in rounds 0 .. T-1."""
    final_budget: PositiveInt | None = 40960
    """Tokens per rollout in round T; None means beta."""
    temperature: NonNegativeFloat = 1.0
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    tail_scope: Literal["full", "reasoning"] = "full"
    """Cut the tail from reasoning and answer (think tags dropped), or from the reasoning alone."""
    template: str = "aggregate-v1"
    seed: int = 0

    @model_validator(mode="after")
    def _numbers_fit(self) -> RSAConfig:
        if self.candidates > self.population:
            raise ValueError(
                f"candidates {self.candidates} cannot be drawn from population {self.population}"
            )
        if self.tail > self.budget:
            raise ValueError(f"tail {self.tail} is longer than the budget {self.budget}")
        return self
