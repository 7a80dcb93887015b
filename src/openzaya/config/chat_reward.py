"""Chat rewards: a reward model or a judge behind HTTP. Keys come from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from openzaya.config.base import Config


class EndpointConfig(Config):
    """How a server is asked."""

    url: str
    """What stands before the path of the call: http://host:8000 for a reward model, .../v1 for a
    judge."""
    model: str
    key_variable: str | None = None
    """Environment variable with the API key; none: no key is sent."""
    concurrency: PositiveInt = 16
    """Requests on their way at once."""
    timeout: PositiveFloat = 120.0
    """Seconds for one request."""
    attempts: PositiveInt = 4
    """Tries of one request before the endpoint counts as gone."""
    first_wait: NonNegativeFloat = 1.0
    """Seconds before the second try; each later wait is twice as long."""
    budget: PositiveInt | None = None
    """Requests in all, repetitions included; what comes later is a verifier error. none: no end."""
    cache: PositiveInt = 65536
    """Scores kept by the hash of what was scored; the oldest leave first."""


class RewardModelConfig(Config):
    """A scalar reward model (`ScalarRewardModel`)."""

    endpoint: EndpointConfig
    api: Literal["vllm-pooling", "vllm-classify", "sglang-classify"] = "vllm-classify"
    chat_template: Path | None = None
    """Jinja file that renders the conversation. vLLM applies the model's own if there is none;
    SGLang takes text and needs it."""
    normalise: Literal["sigmoid", "zscore", "none"] = "sigmoid"
    """How a raw score becomes one in [0, 1]. zscore: deviations from the batch's mean, through the
    sigmoid. none: the server gives it in [0, 1]; anything else is an error."""
    shift: float = 0.0
    scale: PositiveFloat = 1.0
    """sigmoid((raw - shift) / scale)."""

    @model_validator(mode="after")
    def _text_needs_a_template(self) -> RewardModelConfig:
        if self.api == "sglang-classify" and self.chat_template is None:
            raise ValueError("sglang-classify takes text, so it needs a chat_template")
        return self


class CriterionConfig(Config):
    """One line of a rubric."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    text: str
    """What the judge looks for."""
    weight: PositiveFloat = 1.0


class JudgeConfig(Config):
    """A rubric judge: any OpenAI-compatible chat model (`RubricJudge`)."""

    endpoint: EndpointConfig
    rubric: tuple[CriterionConfig, ...] = (
        CriterionConfig(name="helpful", text="It does what the user asks for, completely."),
        CriterionConfig(name="correct", text="What it states is true, and follows."),
        CriterionConfig(name="clear", text="It is well ordered and easy to read, without padding."),
    )
    levels: PositiveInt = 10
    """Each criterion is marked from 0 to this."""
    tries: PositiveInt = 3
    """Verdicts asked for before a judge that talks nonsense is a verifier error."""
    temperature: NonNegativeFloat = 0.0
    max_tokens: PositiveInt = 4096
    """Room for the judge's reasoning and verdict."""

    @model_validator(mode="after")
    def _names_differ(self) -> JudgeConfig:
        names = [criterion.name for criterion in self.rubric]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the rubric needs criteria with different names (got {names})")
        return self
