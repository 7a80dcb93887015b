"""A cluster that is only counted: how fast its machines are, and what goes wrong with them."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.asynchrony import AsyncConfig
from openzaya.config.base import Config


class LengthConfig(Config):
    """Tokens of a rollout: log-normal, cut at `longest`. The defaults are the report's warm-up:
    median 17.6K, nine of ten below 30K."""

    median: PositiveFloat = 17_600
    sigma: NonNegativeFloat = 0.42
    longest: PositiveInt = 81_920


class SimulateConfig(Config):
    """`zaya rl simulate`: the orchestrator on simulated time."""

    seed: NonNegativeInt = 0
    steps: PositiveInt = 50
    groups_per_batch: PositiveInt = 128
    group_size: PositiveInt = 16
    asynchrony: AsyncConfig = AsyncConfig()
    length: LengthConfig = LengthConfig()
    samplers: PositiveInt = 16
    slots: PositiveInt = 256
    """Rollouts that a sampler decodes together."""
    step_seconds: PositiveFloat = 0.02
    """Of a decode step with one sequence."""
    sequence_seconds: NonNegativeFloat = 0.00008
    """That each further sequence adds to it."""
    train_tokens_per_second: PositiveFloat = 400_000
    """Of the whole trainer."""
    publish_seconds: NonNegativeFloat = 2.0
    """From a trainer step to the new weights in the samplers, which decode meanwhile."""
    crash_seconds: PositiveFloat | None = None
    """Mean time between two crashes of a sampler; its rollouts are generated again."""
    hang_share: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Rollouts that never end by themselves."""
    restart_seconds: PositiveFloat = 60.0
    timeout_seconds: PositiveFloat = 3600.0
    """After which a rollout without an end is given up and generated again."""
    vocabulary: NonNegativeInt = 0
    """Draw every token from an exactly known policy over so many (rl.tabular); 0: only count."""
