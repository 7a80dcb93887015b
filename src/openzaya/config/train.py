"""A run of next-token training: pretraining and SFT are the same loop with other data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.config.model import ModelConfig
from openzaya.config.optim import BalanceConfig, OptimConfig, ScheduleConfig
from openzaya.config.tasks import TaskConfig


class DataConfig(Config):
    """What a training batch is made of."""

    examples_per_step: PositiveInt = 64
    window: PositiveInt = 512
    """Longest sample and size of a packing window, in tokens; longer samples are AP-trimmed."""
    loss_on: Literal["all", "assistant"] = "all"
    """all: every token is a target (pretraining); assistant: the model's own turn (SFT)."""
    aggregation_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of examples that are Markovian-RSA aggregation prompts with synthetic tails."""


class ThinkConfig(Config):
    """The bounds that SFT, RL and Markovian RSA of one model family have to share."""

    budget: PositiveInt = 24
    """beta: tokens one rollout may write."""
    tail: PositiveInt = 12
    """tau: tokens of it that are carried on."""
    candidates: PositiveInt = 4
    """C: tails in one aggregation prompt."""
    tail_scope: Literal["full", "reasoning"] = "full"
    """Cut the tail from reasoning and answer (think tags dropped), or from the reasoning alone."""
    template: str = "aggregate-v1"


class DevConfig(Config):
    """Accuracy on validation problems while training, and the trigger that ends the run."""

    every: PositiveInt = 100
    problems: PositiveInt = 64
    """Per task."""
    budget: PositiveInt | None = None
    """Tokens a rollout may write; none is the family's beta. A longer one also sees the tasks
    whose solution does not fit beta."""
    stop_at: float | None = Field(default=None, ge=0.0, le=1.0)
    """End the run once the mean sampled accuracy reaches this; None trains all steps."""


class TrainConfig(Config):
    """One run. A stage starts from fresh weights (`model`) or a checkpoint (`init_from`)."""

    seed: NonNegativeInt = 0
    steps: PositiveInt = 1000
    init_from: str | None = None
    """Run folder or weights folder of the previous stage."""
    model: ModelConfig | None = None
    tasks: dict[str, TaskConfig]
    think: ThinkConfig = ThinkConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    balance: BalanceConfig = BalanceConfig()
    dev: DevConfig = DevConfig()
    checkpoint_every: PositiveInt = 200

    @model_validator(mode="after")
    def _one_origin(self) -> TrainConfig:
        if (self.model is None) == (self.init_from is None):
            raise ValueError("give either model (fresh weights) or init_from (a checkpoint)")
        return self
