"""Environments by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from openzaya.envs.base import WorkedEnvironment
from openzaya.envs.reasoning_gym import SOLVERS, ReasoningGymEnvironment
from openzaya.envs.running_total import RunningTotal
from openzaya.errors import EnvError

NAMES = (*SOLVERS, RunningTotal.name)


def build(name: str, params: Mapping[str, Any]) -> WorkedEnvironment:
    """An environment by its name. Unknown names and params are an EnvError."""
    if name in SOLVERS:
        return ReasoningGymEnvironment(name, params)
    if name == RunningTotal.name:
        known = inspect.signature(RunningTotal).parameters
        unknown = params.keys() - known
        if unknown:
            raise EnvError(
                f"running_total has no {', '.join(sorted(unknown))}", f"use {', '.join(known)}"
            )
        return RunningTotal(**params)
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(NAMES)}"
    raise EnvError(f"no environment is called {name!r}", hint)
