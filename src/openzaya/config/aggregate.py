"""A recipe for aggregation examples: SFT data that teaches Markovian RSA."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from openzaya.config.base import Config


class SamplerConfig(Config):
    """Who writes: a model folder, or a model behind an OpenAI-compatible endpoint."""

    model: str
    """Run folder or weights folder; with `endpoint`, the name that it knows the model by."""
    endpoint: str | None = None
    """Base URL such as http://localhost:8000/v1. Its key is in the variable `key_variable`."""
    key_variable: str = "OPENAI_API_KEY"
    tokenizer: str | None = None
    """Folder with tokenizer.json that counts and cuts an endpoint's text."""
    concurrency: PositiveInt = 16
    """Requests on their way at one time."""
    timeout: PositiveFloat = 3600.0
    """Seconds for one request."""

    @model_validator(mode="after")
    def _an_endpoint_counts_by_something(self) -> SamplerConfig:
        if self.endpoint is not None and self.tokenizer is None:
            raise ValueError("an endpoint returns text: give the tokenizer that tails are cut by")
        return self


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
