"""How difficulty follows ability: the schedulers of the RLVE stage and their first calibration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.base import Config


class CurriculumConfig(Config):
    """Which environment comes next, and how hard (report arXiv 2605.05365, Eq. 11; RLVE)."""

    kind: Literal["fixed", "zaya", "rlve"] = "fixed"
    """fixed: the tasks' own difficulty and weights. zaya: +1 above `raise_above` at the current
    difficulty, -1 at no success. rlve: a window of difficulties below the highest, which only
    grows."""
    raise_above: float = Field(default=0.7, ge=0.0, lt=1.0)
    """zaya: pass rate of a group above which the difficulty grows."""
    lower_anywhere: bool = False
    """zaya: a group without success lowers the difficulty also where it was not drawn at the
    current one: the equation's words, against the text's."""
    window: PositiveInt = 4
    """rlve: difficulties drawn, the highest included."""
    groups: PositiveInt = 8
    """rlve: groups at the highest difficulty that decide together."""
    accuracy: float = Field(default=0.9, gt=0.0, le=1.0)
    """rlve: what they must reach."""


class CalibrationConfig(Config):
    """Thompson sampling over a logistic pass curve, with frozen weights (report, RLVE-Gym stage).

    The report gives the method and the target; all other numbers are ours.
    """

    groups: NonNegativeInt = 0
    """Groups per environment before training; 0 leaves the calibration out."""
    target: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Pass rate looked for."""
    spread: float = Field(default=0.25, ge=0.0, lt=0.5)
    explore: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of draws whose target lies within `spread` of `target`."""
    particles: PositiveInt = 256
    mean: float = 5.0
    mean_spread: PositiveFloat = 8.0
    scale: PositiveFloat = 3.0
    scale_spread: NonNegativeFloat = 2.0
    decay: float = Field(default=0.95, gt=0.0, le=1.0)
    """Weight of a result against the one after it, when particles are drawn anew."""
    jitter: NonNegativeFloat = 0.5
    """Standard deviation that is added to particles drawn anew, as a share of their spread."""


class FilterConfig(Config):
    """Problems that teach nothing leave before the stage begins, by the weights that it starts
    from: for tasks whose problems are given, such as `math_problems`. Every stage of a cascade that
    has it filters anew."""

    tasks: tuple[str, ...] = ()
    """Whose problems are tried; none: nothing is filtered."""
    problems: PositiveInt = 1000
    """Most different problems of a task that are tried; those beyond are not trained on."""
    samples: PositiveInt = 8
    """Rollouts of each."""
    max_rate: float = Field(default=0.75, gt=0.0, le=1.0)
    """Problems solved more often are too easy (report, warm-up: at most 0.75)."""
    keep_unsolved: bool = False
    """Keep also what was never solved."""
    budget: PositiveInt | None = None
    """Tokens of a rollout here; none: the stage's. The report filters at a lower cap."""
