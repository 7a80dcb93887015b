"""Which problems a run is about."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from openzaya.config.base import Config


class TaskConfig(Config):
    """One environment with its parameters."""

    environment: str
    """A name of `zaya envs`: a reasoning-gym task we have a worked solution for, or our own."""
    params: dict[str, int | float | str] = Field(default_factory=dict)
    """Passed to the generator: digits, terms, steps."""
    weight: PositiveFloat = 1.0
    """Share of training problems, before normalisation."""
