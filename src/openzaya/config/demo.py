"""The whole road as one recipe: stations, sizes of the evaluation, and the RSA setting."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from openzaya.config.base import Config
from openzaya.config.rsa import RSAConfig
from openzaya.config.tasks import TaskConfig
from openzaya.config.train import ThinkConfig


class RSARecipe(Config):
    """Markovian RSA for a model family: N and T here, C, tau and beta from its training."""

    think: ThinkConfig = ThinkConfig()
    population: PositiveInt = 8
    rounds: NonNegativeInt = 3
    seed: NonNegativeInt = 0

    def rsa(self) -> RSAConfig:
        think = self.think
        return RSAConfig(
            population=self.population,
            rounds=self.rounds,
            candidates=think.candidates,
            tail=think.tail,
            tail_scope=think.tail_scope,
            budget=think.budget,
            final_budget=None,
            template=think.template,
            seed=self.seed,
        )


class StationConfig(Config):
    """One training station: its recipe, and overrides on it."""

    recipe: str
    overrides: tuple[str, ...] = ()


class DemoConfig(RSARecipe):
    """`zaya demo`: pretrain, SFT, RL, Markovian RSA, report."""

    out: str = "runs/demo"
    size: Literal["full", "reduced"] = "full"
    """reduced runs prove that the stages fit together; their numbers mean nothing."""
    tasks: dict[str, TaskConfig]
    pretrain: StationConfig
    sft: StationConfig
    rl: StationConfig
    split: Literal["dev", "test"] = "test"
    problems: PositiveInt = 300
    """Unseen problems per task for the stations, RSA and the matched majority."""
    control_problems: PositiveInt = 100
    """Per task, for the controls and baselines beside the staircase."""
    samples: PositiveInt = 4
    """Rollouts per problem for single-sample accuracy."""
    long_task: str
    """The task whose solution does not fit one budget."""
    threads: PositiveInt = 2

    @model_validator(mode="after")
    def _long_task_exists(self) -> DemoConfig:
        if self.long_task not in self.tasks:
            known = ", ".join(self.tasks)
            raise ValueError(f"long_task {self.long_task} is none of the tasks ({known})")
        return self
