"""`python -m openzaya.envs.instructions`: the table of rules in docs/instructions.md."""

from __future__ import annotations

import random

from openzaya.envs.instructions import KINDS, ROOMS
from openzaya.envs.instructions.base import Setting
from openzaya.envs.instructions.lexicon import TOPICS


def table() -> str:
    """Markdown: every kind with an example of its instruction."""
    rows = ["| about | kind | for example |", "|---|---|---|"]
    for room in ROOMS:
        about = room.__name__.rpartition(".")[2]
        for name, kind in KINDS.items():
            if kind.__module__ == room.__name__:
                rule = kind.draw(Setting(random.Random(name), 0, TOPICS[0]))
                example = rule.instruction().replace("|", "\\|").replace("<", "&lt;")
                rows.append(f"| {about} | `{name}` | {example} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
