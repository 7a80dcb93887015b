"""Environments by name, from every source. Nothing heavy is imported before it is asked for.

A name belongs to one source: reasoning-gym's tasks and our own have plain names, the adapters'
carry a prefix (`rlve:Sudoku`). Sources that cannot be had here, for instance an adapter without
its checkout, list nothing and say why when one of their names is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openzaya.envs.base import WorkedEnvironment
from openzaya.errors import EnvError
from openzaya.types import Environment

Maker = Callable[[Mapping[str, Any]], Environment]


@dataclass(frozen=True, slots=True)
class Source:
    """Where environments come from. `makers` imports what it needs and may be slow once."""

    name: str
    about: str
    makers: Callable[[], Mapping[str, Maker]]
    prefix: str = ""
    """Of its names; set for the adapters, which need a checkout."""

    @property
    def reason(self) -> str:
        """Why its environments cannot be had here, or nothing."""
        return _adapter(self.name).CHECKOUT.missing() if self.prefix else ""


def _maker(cls: Callable[..., Any], name: str) -> Maker:
    """Builds `cls` with the params as keywords; those that do not fit are an EnvError."""
    signature = inspect.signature(cls)
    known = [p.name for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
    hint = f"use {', '.join(known)}" if known else "difficulty is what sets its size"

    def make(params: Mapping[str, Any]) -> Environment:
        try:
            signature.bind(**params)
            return cls(**params)
        except TypeError as error:
            if not params and not known:
                raise  # no argument was given that could be wrong
            raise EnvError(f"{name}: {error}", hint) from None

    return make


def _own() -> Mapping[str, Maker]:
    from openzaya.envs.generators import load_all
    from openzaya.envs.running_total import RunningTotal

    return {cls.name: _maker(cls, cls.name) for cls in (RunningTotal, *load_all())}


def _files() -> Mapping[str, Maker]:
    from openzaya.envs.math.problems import MathProblems

    return {MathProblems.name: _maker(MathProblems, MathProblems.name)}


def _room(module: str, table: str) -> Callable[[], Mapping[str, Maker]]:
    """A room beside this file that keeps its environments in a table: name to class."""

    def makers() -> Mapping[str, Maker]:
        classes = getattr(importlib.import_module(module), table)
        return {name: _maker(cls, name) for name, cls in classes.items()}

    return makers


def _reasoning_gym() -> Mapping[str, Maker]:
    from openzaya.envs.reasoning_gym import (
        REFUSED,
        SOLVERS,
        ReasoningGymTask,
        WorkedReasoningGymTask,
    )
    from openzaya.envs.reasoning_gym.environment import families

    def make(task: str) -> Maker:
        def build(params: Mapping[str, Any]) -> Environment:
            if task in REFUSED:
                raise EnvError(
                    f"reasoning-gym's {task} is refused: {REFUSED[task]}",
                    "docs/environments.md lists what is kept",
                )
            return (WorkedReasoningGymTask if task in SOLVERS else ReasoningGymTask)(task, params)

        return build

    return {task: make(task) for task in families()}


def _adapted(name: str) -> Callable[[], Mapping[str, Maker]]:
    def makers() -> Mapping[str, Maker]:
        adapter = _adapter(name)
        return {task: adapter.maker(task) for task in adapter.names()}

    return makers


def _adapter(name: str) -> Any:
    return importlib.import_module(f"openzaya.envs.adapters.{name}")


SOURCES: tuple[Source, ...] = (
    Source("own", "generators of this repository", _own),
    Source("code", "programs, from a bank", _room("openzaya.envs.code", "CODE_ENVIRONMENTS")),
    Source(
        "instructions",
        "verifiable constraints",
        _room("openzaya.envs.instructions", "INSTRUCTION_ENVIRONMENTS"),
    ),
    Source("files", "problems in a file of yours", _files),
    Source("reasoning-gym", "reasoning-gym (PyPI)", _reasoning_gym),
    Source("rlve", "a checkout of RLVE-Gym", _adapted("rlve"), "rlve:"),
    Source("enigmata", "a checkout of Enigmata", _adapted("enigmata"), "enigmata:"),
)


def source(name: str) -> Source:
    """The source called `name`."""
    for candidate in SOURCES:
        if candidate.name == name:
            return candidate
    raise EnvError(f"no source is called {name!r}", f"use {', '.join(s.name for s in SOURCES)}")


def names(of: str | None = None) -> dict[str, str]:
    """Every environment that can be had here, and its source; of one source, if named."""
    chosen = SOURCES if of is None else (source(of),)
    return {name: s.name for s in chosen if not s.reason for name in s.makers()}


def source_of(name: str) -> str:
    """The source of an environment; "own" for a class of the user's."""
    return names().get(name, "own")


def build(name: str, params: Mapping[str, Any]) -> Environment:
    """An environment by its name, or a class of the user's own as `folder/file.py:Class`.

    Unknown names and params are an EnvError.
    """
    if ".py:" in name:
        return _from_file(name, params)
    # The plain names of reasoning-gym come last: finding them starts a process.
    for candidate in SOURCES:
        if not name.startswith(candidate.prefix) or (":" in name) != bool(candidate.prefix):
            continue
        if candidate.reason:
            how = _adapter(candidate.name).CHECKOUT.how_to_get
            raise EnvError(f"{name} cannot be had here: {candidate.reason}", how)
        makers = candidate.makers()
        if name in makers:
            return makers[name](params)
    known = names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`zaya envs list` names all of them"
    raise EnvError(f"no environment is called {name!r}", hint)


def _from_file(reference: str, params: Mapping[str, Any]) -> Environment:
    """The class of a reference like `folder/file.py:Class`, built with `params`."""
    path, _, cls = reference.rpartition(":")
    if not Path(path).is_file():
        raise EnvError(f"there is no file {path}", "an own environment is folder/file.py:Class")
    module = runpy.run_path(path)
    if cls not in module:
        raise EnvError(f"{path} has no class {cls}", "an own environment is folder/file.py:Class")
    return _maker(module[cls], reference)(params)


def worked_names() -> tuple[str, ...]:
    """The environments whose problems come with worked solutions."""
    from openzaya.envs.reasoning_gym import SOLVERS
    from openzaya.envs.running_total import RunningTotal

    return (*SOLVERS, RunningTotal.name)


def worked(env: Environment) -> WorkedEnvironment:
    """`env`, if training text can be written from it; else an EnvError."""
    if isinstance(env, WorkedEnvironment):
        return env
    raise EnvError(
        f"{env.name} has a verifier but no worked solutions: no training text can be written",
        f"use it in RL or evaluation; {', '.join(worked_names())} can be taught",
    )
