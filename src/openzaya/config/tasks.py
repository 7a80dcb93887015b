"""Which problems a run is about."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat

from openzaya.config.base import Config


class TaskConfig(Config):
    """One environment with its parameters."""

    environment: str
    """A name of `zaya envs list`. Training text can be written for those with worked solutions;
    RL and evaluation take any, and `SOURCE:*`: all admitted ones of a source, for instance rlve:*,
    which share the task's weight."""
    params: dict[str, int | float | str] = Field(default_factory=dict)
    """Passed to the environment; they win over what its difficulty sets."""
    difficulty: NonNegativeInt = 0
    """Of the problems drawn, until a curriculum moves it."""
    weight: PositiveFloat = 1.0
    """Share of training problems, before normalisation."""
    admit_anyway: bool = False
    """Use an environment that failed a check of `zaya envs admit`."""
