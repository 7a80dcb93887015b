"""One reasoning-gym task, made and scored in worker processes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from openzaya.envs.foreign import ForeignEnvironment
from openzaya.envs.workers import CallFailed, WorkerPool
from openzaya.errors import EnvError


@functools.cache
def pool() -> WorkerPool:
    """The processes in which reasoning-gym lives."""
    return WorkerPool("openzaya.envs.reasoning_gym.served")


@functools.cache
def families() -> dict[str, str]:
    """Every registered task and its family."""
    return pool().call("names", timeout=60.0)


class ReasoningGymTask(ForeignEnvironment):
    """`params` are fields of the task's configuration and win over its curriculum."""

    source = "reasoning-gym"
    licence = "Apache-2.0"

    def __init__(self, task: str, params: Mapping[str, Any]) -> None:
        self.name, self.params = task, dict(params)
        self.family = families()[task]
        self.version = version("reasoning-gym")
        try:
            facts = pool().call("describe", timeout=60.0, task=task, params=self.params)
        except CallFailed as error:
            raise EnvError(
                f"{task}: reasoning-gym refuses these params: {error}",
                f"see the fields of reasoning_gym's {task} configuration",
            ) from None
        self.max_difficulty = facts["max_difficulty"]

    def settings(self, private: Mapping[str, Any]) -> float:
        """The sum of the limits that the curriculum set; grids of one size have more blanks."""
        limits = private["entry"]["metadata"].get("difficulty", {})
        return _sum(list(limits.values()) if isinstance(limits, dict) else limits)

    @property
    def pool(self) -> WorkerPool:
        return pool()

    def task(self, difficulty: int) -> dict[str, Any]:
        return {"task": self.name, "params": self.params, "difficulty": difficulty}


def _sum(value: Any) -> float:
    if isinstance(value, list):
        return sum(map(_sum, value))
    return float(value) if isinstance(value, int | float) else 0.0
