"""RLVE-Gym (Zhiyuan-Zeng/RLVE, MIT): 400 environments as `rlve:NAME`.

Difficulty is the number of updates of an environment's own parameter controller, without end.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from openzaya.envs.adapters.checkout import Checkout
from openzaya.envs.foreign import ForeignEnvironment
from openzaya.envs.workers import WorkerPool
from openzaya.errors import EnvError

CHECKOUT = Checkout(
    "RLVE-Gym",
    "https://github.com/Zhiyuan-Zeng/RLVE",
    "OPENZAYA_RLVE_PATH",
    "Gym/environments/__init__.py",
)
PREFIX = "rlve:"
_ENTRY = re.compile(r'"(\w+)"\s*:\s*\w+_Environment')


@functools.cache
def _pool(path: str) -> WorkerPool:
    return WorkerPool("openzaya.envs.adapters.rlve_served", {"path": path})


def names() -> list[str]:
    """Read from the checkout's table; importing 400 modules for their names takes seconds."""
    text = (Path(CHECKOUT.path()) / CHECKOUT.marker).read_text()
    return [PREFIX + name for name in _ENTRY.findall(text)]


def maker(name: str) -> Callable[[Mapping[str, Any]], RLVETask]:
    return functools.partial(RLVETask, name)


class RLVETask(ForeignEnvironment):
    family = "rlve"
    source = "RLVE-Gym"
    licence = "MIT"

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        if params:
            raise EnvError(f"{name} takes no params", "its difficulty sets them")
        self.name = name
        self._task, self._pool = name.removeprefix(PREFIX), _pool(CHECKOUT.path())
        self.version = self._pool.call("version", timeout=60.0, task=self._task)

    @property
    def pool(self) -> WorkerPool:
        return self._pool

    def task(self, difficulty: int) -> dict[str, Any]:
        return {"task": self._task, "difficulty": difficulty}
