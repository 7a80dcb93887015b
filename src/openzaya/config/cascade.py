"""RL stages in a row, each from the weights of the one before."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.config.tasks import TaskConfig
from openzaya.errors import ConfigError


class EvaluationConfig(Config):
    """The same unseen problems for the start and after every stage: those of all stages' tasks."""

    split: Literal["dev", "test"] = "test"
    problems: PositiveInt = 200
    """Per task, or as many as it has."""
    samples: PositiveInt = 4
    """Rollouts per problem."""
    budget: PositiveInt | None = None
    """Tokens of a rollout; none: the largest of the stages."""
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    """Further tasks that are only judged, for instance harder ones."""


class CascadeConfig(Config):
    """`zaya cascade`: the file cascade.toml of a recipe folder."""

    seed: NonNegativeInt = 0
    """Every stage draws its own from it."""
    init_from: str
    """Run folder or weights folder of the SFT stage."""
    stages: tuple[str, ...] = Field(min_length=1)
    """RL recipes beside this file, in order. A file's name without .toml is the stage's; what it
    says of init_from and seed is replaced."""
    overrides: tuple[str, ...] = ()
    """section.key=value for every stage; those of the command line win."""
    evaluation: EvaluationConfig = EvaluationConfig()
    threads: PositiveInt | None = None
    """Of PyTorch; none: its own choice."""

    @model_validator(mode="after")
    def _names_differ(self) -> CascadeConfig:
        names = self.names
        for name in names:
            if names.count(name) > 1 or name in type(self).model_fields or "." in name:
                raise ConfigError(
                    f"{name} is no name for a stage: taken, a key of cascade.toml, or with a dot",
                    "rename its file",
                )
        return self

    @property
    def names(self) -> list[str]:
        return [PurePath(stage).name.removesuffix(".toml") for stage in self.stages]
