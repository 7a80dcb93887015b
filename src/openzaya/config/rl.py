"""A reinforcement-learning run."""

from __future__ import annotations

from typing import ClassVar

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from openzaya.config.asynchrony import AsyncConfig, SamplersConfig
from openzaya.config.base import Config
from openzaya.config.chat_reward import JudgeConfig, RewardModelConfig
from openzaya.config.curriculum import CalibrationConfig, CurriculumConfig, FilterConfig
from openzaya.config.optim import OptimConfig
from openzaya.config.rl_loss import AdvantageConfig, GateConfig, LossConfig
from openzaya.config.sampler import SamplerConfig
from openzaya.config.tasks import TaskConfig
from openzaya.config.train import CheckpointConfig, DevConfig, ThinkConfig
from openzaya.errors import ConfigError


class TailsConfig(Config):
    """Whose tails an aggregation prompt shows. The weights are shares before normalisation."""

    own: NonNegativeFloat = 1.0
    """The run's own earlier rollouts, as they come."""
    start: NonNegativeFloat = 0.0
    """Self aggregation (report): of the weights that the stage starts from, drawn before it."""
    expert: NonNegativeFloat = 0.0
    """Expert aggregation (report): of `sampler`, drawn before the stage."""
    sampler: SamplerConfig | None = None
    """The expert: a model folder or an endpoint."""
    groups: PositiveInt = 64
    """Problems per task and source whose tails are drawn before the stage."""
    rollouts: PositiveInt = 8
    """Of each of them; a prompt shows think.candidates of their tails."""
    tasks: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Tasks of the tails drawn before the stage, with weights; empty: all, equally often."""

    @model_validator(mode="after")
    def _somebody_writes(self) -> TailsConfig:
        if not self.own + self.start + self.expert:
            raise ConfigError("own, start and expert are all 0", "give one of them a weight")
        if self.expert and self.sampler is None:
            raise ConfigError("tails of an expert need the expert", 'set sampler.model = "FOLDER"')
        return self


class ChatRewardConfig(Config):
    """What an answer that passes its checker is worth, in place of 1 (report, behavioural RL)."""

    tasks: tuple[str, ...]
    """Tasks with this reward; those of others stay binary."""
    model: RewardModelConfig | None = None
    judge: JudgeConfig | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> ChatRewardConfig:
        if (self.model is None) == (self.judge is None):
            raise ConfigError("give either model or judge", "name one endpoint that scores answers")
        if self.model is not None and self.model.normalise == "zscore":
            raise ConfigError(
                "rollouts are scored as they end, and one alone has no deviation from a mean",
                "set model.normalise to sigmoid",
            )
        return self


class RLConfig(Config):
    """The report's spine: groups, MaxRL, dynamic sampling, DPPO Binary-TV, router replay."""

    how: ClassVar = ("samplers", "checkpoint", "tokens_per_microbatch")

    seed: NonNegativeInt = 0
    steps: PositiveInt = 100
    init_from: str
    """Run folder or weights folder of the SFT stage, or of the RL stage before."""
    tasks: dict[str, TaskConfig]
    think: ThinkConfig = ThinkConfig()
    prompts_per_step: PositiveInt = 32
    group_size: int = Field(default=16, ge=2)
    """G: rollouts per prompt."""
    aggregation_share: float = Field(default=0.4, ge=0.0, le=1.0)
    """Share of prompts that aggregate tails of earlier rollouts; whose: `tails`."""
    tails: TailsConfig = TailsConfig()
    tail_buffer: PositiveInt = 512
    """Groups of own tails kept for aggregation prompts; the oldest leave first."""
    max_depth: PositiveInt = 3
    """Aggregation prompts are built from rollouts of at most this many rounds minus one."""
    overlong_filter: bool = False
    """Leave rollouts that the budget cut out of their group's baseline and out of the loss (DAPO,
    arXiv 2503.14476). Without it, where a solution is longer than the budget, the only rollouts
    that ever earn a reward stop early with a lucky guess, and RL teaches that."""
    advantage: AdvantageConfig = AdvantageConfig()
    loss: LossConfig = LossConfig()
    gate: GateConfig = GateConfig()
    chat_reward: ChatRewardConfig | None = None
    tokens_per_microbatch: PositiveInt = 24576
    asynchrony: AsyncConfig = AsyncConfig()
    samplers: SamplersConfig = SamplersConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    filter: FilterConfig = FilterConfig()
    optim: OptimConfig = OptimConfig(lr=1e-5, momentum=0.0, weight_decay=0.0)
    dev: DevConfig = DevConfig()
    checkpoint: CheckpointConfig = CheckpointConfig(every=25)

    @model_validator(mode="after")
    def _tasks_exist(self) -> RLConfig:
        if not self.tasks:
            raise ConfigError("there is no task", "name one in [tasks.NAME]")
        named = {
            "filter.tasks": self.filter.tasks,
            "tails.tasks": tuple(self.tails.tasks),
            "chat_reward.tasks": self.chat_reward.tasks if self.chat_reward else (),
        }
        for key, names in named.items():
            for name in names:
                if name not in self.tasks:
                    known = ", ".join(self.tasks)
                    raise ConfigError(f"{key}: there is no task {name}", f"the tasks are {known}")
        self.asynchrony.check(self.prompts_per_step)
        return self
