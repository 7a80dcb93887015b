"""Every task of the report's tables, and our environments, as rows of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openzaya.config.fields import did_you_mean
from openzaya.errors import EvalError
from openzaya.evals.tasks import instructions, knowledge, mathematics, outside, programs
from openzaya.evals.tasks.own import PREFIX, environment_task
from openzaya.evals.tasks.spec import Item, Refused, Source, TaskSpec, Verdict

TASKS: dict[str, TaskSpec] = {
    task.name: task
    for family in (mathematics, knowledge, instructions, programs, outside)
    for task in family.TASKS
}
REFUSED: dict[str, Refused] = {
    task.name: task for family in (instructions, outside) for task in family.REFUSED
}

__all__ = ["REFUSED", "TASKS", "Item", "Source", "TaskSpec", "Verdict", "task_of"]


def task_of(name: str, params: Mapping[str, Any], limit: int | None) -> TaskSpec:
    """The task called `name`. EvalError where there is none, or it cannot be run from here."""
    if name.startswith(PREFIX):
        return environment_task(name, params, limit)
    if name in REFUSED:
        task = REFUSED[name]
        raise EvalError(f"{name} cannot be run from here: {task.why}", task.instead)
    if name not in TASKS:
        guess = did_you_mean(name, [*TASKS, *REFUSED])
        raise EvalError(f"no task is called {name!r}", guess or "`zaya eval --list` names all")
    return TASKS[name]
