"""A reinforcement-learning run."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.asynchrony import AsyncConfig, SamplersConfig
from openzaya.config.base import Config
from openzaya.config.curriculum import CurriculumConfig
from openzaya.config.optim import OptimConfig
from openzaya.config.tasks import TaskConfig
from openzaya.config.train import CheckpointConfig, DevConfig, ThinkConfig


class RLConfig(Config):
    """The report's spine: groups, MaxRL, dynamic sampling, DPPO Binary-TV, router replay."""

    seed: NonNegativeInt = 0
    steps: PositiveInt = 100
    init_from: str
    """Run folder or weights folder of the SFT stage."""
    tasks: dict[str, TaskConfig]
    think: ThinkConfig = ThinkConfig()
    prompts_per_step: PositiveInt = 32
    group_size: int = Field(default=16, ge=2)
    """G: rollouts per prompt."""
    aggregation_share: float = Field(default=0.4, ge=0.0, le=1.0)
    """Share of prompts that aggregate tails of the model's own earlier rollouts."""
    tail_buffer: PositiveInt = 512
    """Groups of own tails kept for aggregation prompts; the oldest leave first."""
    max_depth: PositiveInt = 3
    """Aggregation prompts are built from rollouts of at most this many rounds minus one."""
    overlong_filter: bool = False
    """Leave rollouts that the budget cut out of their group's baseline and out of the loss (DAPO,
    arXiv 2503.14476). Without it, where a solution is longer than the budget, the only rollouts
    that ever earn a reward stop early with a lucky guess, and RL teaches that."""
    delta: PositiveFloat = 0.1
    """DPPO Binary-TV: largest drift of a chosen token's probability."""
    ratio_cap: PositiveFloat | None = 10.0
    """Cap of the importance weight; none leaves the weight out."""
    tokens_per_microbatch: PositiveInt = 24576
    asynchrony: AsyncConfig = AsyncConfig()
    samplers: SamplersConfig = SamplersConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    optim: OptimConfig = OptimConfig(lr=1e-5, momentum=0.0, weight_decay=0.0)
    dev: DevConfig = DevConfig()
    checkpoint: CheckpointConfig = CheckpointConfig(every=25)
