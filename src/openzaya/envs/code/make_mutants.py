"""Rejected solutions of our own bank: python -m openzaya.envs.code.make_mutants"""

from __future__ import annotations

import json

from openzaya.envs.code.mutate import killed_mutants
from openzaya.envs.code.own import MUTANTS, own_bank
from openzaya.envs.sandbox import open_sandbox

EACH = 6
TRIES = 24


def main() -> None:
    sandbox = open_sandbox()
    lines = []
    for problem in own_bank():
        found = killed_mutants(sandbox, problem, EACH, TRIES)
        print(f"{problem.name}: {len(found)}", flush=True)
        for mutant in found:
            row = {"name": problem.name, "note": mutant.note, "code": mutant.code}
            lines.append(json.dumps(row) + "\n")
    MUTANTS.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
