"""Tasks that stand for many: `environment = "SOURCE:*"` is all admitted ones of a source."""

from __future__ import annotations

from collections.abc import Mapping

from openzaya.config.tasks import TaskConfig
from openzaya.envs import gate, registry
from openzaya.errors import EnvError


def spread(tasks: Mapping[str, TaskConfig]) -> dict[str, TaskConfig]:
    """`tasks` with each such task replaced by one per environment, `TASK/ENVIRONMENT`, which share
    its weight. Environments that failed admission are left out, unless `admit_anyway`. EnvError for
    a source that is not there or has none."""
    found: dict[str, TaskConfig] = {}
    for name, task in tasks.items():
        source, star, rest = task.environment.partition(":*")
        if not star or rest:
            found[name] = task
            continue
        if reason := registry.source(source).reason:
            raise EnvError(f"{task.environment} cannot be had here: {reason}", "see docs/rl.md")
        failed = {n for n, row in gate.table().items() if row["failed"]}
        members = [n for n in registry.names(source) if task.admit_anyway or n not in failed]
        if not members:
            raise EnvError(f"{source} has no admitted environment", "see `zaya envs list`")
        found |= {
            f"{name}/{member.removeprefix(f'{source}:')}": task.model_copy(
                update={"environment": member, "weight": task.weight / len(members)}
            )
            for member in members
        }
    return found
