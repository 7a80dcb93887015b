"""A run of next-token training: pretraining and SFT are the same loop with other data."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.config.data import DataConfig
from openzaya.config.model import ModelConfig
from openzaya.config.optim import BalanceConfig, OptimConfig, ScheduleConfig
from openzaya.config.parallel import ParallelConfig
from openzaya.config.tasks import TaskConfig


class ExamplesConfig(Config):
    """What a training batch of worked solutions is made of."""

    per_step: PositiveInt = 64
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
    """What is measured on held-out problems or documents while training."""

    every: PositiveInt = 100
    problems: PositiveInt = 64
    """Per task."""
    windows: PositiveInt = 32
    """Held-out windows whose loss is measured, where training is on documents."""
    budget: PositiveInt | None = None
    """Tokens a rollout may write; none is the family's beta. A longer one also sees the tasks
    whose solution does not fit beta."""
    stop_at: float | None = Field(default=None, ge=0.0, le=1.0)
    """End the run once the mean sampled accuracy reaches this; None trains all steps."""


class CheckpointConfig(Config):
    """When everything is saved, and which saves stay."""

    every: PositiveInt = 200
    keep_last: PositiveInt = 2
    keep_every: PositiveInt | None = None
    """Steps that are multiples of this stay for good; none keeps the last ones only."""
    in_background: bool = False
    """Training goes on while a copy of the state is written: faster, and twice its memory."""


class WatchConfig(Config):
    """What counts as a bad step, and how often a run may go back and leave its batch out."""

    spike: PositiveFloat | None = 12.0
    """A loss this many robust standard deviations above the median of the last `window` is one."""
    window: int = Field(default=50, ge=8)
    stall_seconds: PositiveFloat | None = None
    """A step that takes longer is given up. None waits for ever."""
    rollbacks: NonNegativeInt = 3
    """Over the whole run; the next bad step ends it."""


class TrainConfig(Config):
    """One run. A stage starts from fresh weights (`model`) or a checkpoint (`init_from`)."""

    how: ClassVar = (
        "device",
        "parallel",
        "tokens_per_microbatch",
        "checkpoint",
        "tracker",
        "project",
    )

    seed: NonNegativeInt = 0
    steps: PositiveInt = 1000
    epochs: PositiveFloat | None = None
    """Passes over `data`, in place of `steps`."""
    init_from: str | None = None
    """Run folder or weights folder of the previous stage."""
    model: ModelConfig | None = None
    rope_theta: PositiveFloat | None = None
    """RoPE base from this stage on; none keeps the one of `init_from`."""
    data: DataConfig | None = None
    """Documents to train on, or"""
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    """tasks whose worked solutions to train on (`examples`); beside `data`, only judged."""
    think: ThinkConfig = ThinkConfig()
    examples: ExamplesConfig = ExamplesConfig()
    tokens_per_microbatch: PositiveInt | None = None
    """Tokens whose activations exist at one time, at least one window; None is the whole batch."""
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    balance: BalanceConfig = BalanceConfig()
    dev: DevConfig = DevConfig()
    device: Literal["auto", "cpu"] = "auto"
    """auto: the accelerator that PyTorch finds, else the CPU."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: weights are rounded to it for the model's products, their gradients are summed and the
    weights themselves kept in fp32. What the model always computes in fp32 stays so."""
    parallel: ParallelConfig = ParallelConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracker: Literal["trackio", "wandb"] | None = None
    """Where metrics go beside metrics.jsonl."""
    project: str = "openzaya"
    """The tracker's project."""
    watch: WatchConfig = WatchConfig()

    @model_validator(mode="after")
    def _one_origin(self) -> TrainConfig:
        if (self.model is None) == (self.init_from is None):
            raise ValueError("give either model (fresh weights) or init_from (a checkpoint)")
        return self

    @model_validator(mode="after")
    def _something_to_learn(self) -> TrainConfig:
        if self.data is None and not self.tasks:
            raise ValueError("there is nothing to train on: give data, or tasks")
        if self.epochs is not None and self.data is None:
            raise ValueError("epochs counts passes over data, and there is none: give steps")
        if self.dev.stop_at is not None and not self.tasks:
            raise ValueError("dev.stop_at is an accuracy, and there are no tasks to measure it on")
        return self
