"""The learning rate over a run, as a pure function of the step: resuming needs no state."""

from __future__ import annotations

import math

from openzaya.config.optim import ScheduleConfig
from openzaya.errors import ConfigError


def lr_factor(step: int, total: int, cfg: ScheduleConfig) -> float:
    """Factor on the peak learning rate for `step` in 0 .. total-1.

    Warm-up is linear and never 0: its first step is 1/warmup_steps. Decays reach `final_ratio`
    at `total` and stay there.
    """
    if cfg.warmup_steps + cfg.decay_steps > total:
        raise ConfigError(
            f"schedule: warm-up {cfg.warmup_steps} + decay {cfg.decay_steps} steps"
            f" do not fit in {total}",
            hint="lower schedule.warmup_steps or schedule.decay_steps, or train for longer",
        )
    if step < cfg.warmup_steps:
        return (step + 1) / cfg.warmup_steps
    start = total - cfg.decay_steps if cfg.kind == "wsd" else cfg.warmup_steps
    if cfg.kind == "constant" or step < start:
        return 1.0
    progress = min(1.0, (step - start) / max(1, total - start))
    if cfg.kind == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return 1 + (cfg.final_ratio - 1) * progress
