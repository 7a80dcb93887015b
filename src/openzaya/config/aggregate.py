"""A recipe for aggregation examples: SFT data that teaches Markovian RSA."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.config.sampler import SamplerConfig


class AggregateConfig(Config):
    """n rollouts per problem; C of their tails in a prompt; the teacher's answer is the target."""

    problems: str
    """JSONL file, a problem per line."""
    field: str = "question"
    """Field of the problem's text."""
    limit: PositiveInt | None = None
    """Problems to read, from the start."""
    writer: SamplerConfig
    """Writes the rollouts: an expert model, or the model in training itself."""
    teacher: SamplerConfig | None = None
    """Answers the aggregation prompts; none: the writer."""
    rollouts: PositiveInt = 8
    candidates: PositiveInt = 4
    """C: tails in one prompt, drawn without replacement."""
    examples: PositiveInt = 1
    """Prompts per problem, each with tails of its own."""
    tail: PositiveInt = 4096
    """tau: tokens of a rollout's end."""
    tail_scope: Literal["full", "reasoning"] = "full"
    template: str = "aggregate-v1"
    budget: PositiveInt = 40960
    """Tokens that a rollout, or the teacher, may write."""
    temperature: NonNegativeFloat = 1.0
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _numbers_fit(self) -> AggregateConfig:
        if self.candidates > self.rollouts:
            raise ValueError(
                f"candidates {self.candidates} cannot be drawn from {self.rollouts} rollouts"
            )
        return self
