"""The committed table of `zaya envs admit`, as training reads it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from openzaya.errors import EnvError
from openzaya.types import Environment


def path() -> Path:
    """The table's file, in the package."""
    return Path(__file__).with_name("admitted.json")


@functools.cache
def table() -> dict[str, dict[str, Any]]:
    """Name to what was measured; see `openzaya.envs.admission`."""
    return json.loads(path().read_text())["environments"] if path().is_file() else {}


def admitted(env: Environment) -> None:
    """An EnvError if this version of `env` failed a check. One never measured may be used."""
    row = table().get(env.name)
    if row is None or row["version"] != env.version or not row["failed"]:
        return
    raise EnvError(
        f"{env.name} failed admission: {'; '.join(row['failed'])}",
        f"leave it out, or set admit_anyway = true in its task; `zaya envs admit {env.name}` "
        "measures it again",
    )
