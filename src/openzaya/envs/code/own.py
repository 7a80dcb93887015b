"""Our own bank: one file a problem under `bank/`, with reference, brute force and generator.

A file holds its statement (the docstring), LEVEL, `solve` (whose annotations are the types),
`brute` (slow, by another road), `make(rng, size)` and `valid`. A .cpp file of the same name solves
it from standard input. Tests are made here, by the reference, from seeds of their own.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import inspect
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.code.problem import Case, Problem, Solution
from openzaya.envs.sandbox import Call

FOLDER = Path(__file__).parent / "bank"
MUTANTS = FOLDER / "mutants.jsonl"
SAMPLES = 3
HIDDEN = 24
HELPERS = ("brute", "make", "valid")
SOURCE = "openzaya"
LIMITS = LimitsConfig(cpu_seconds=2, wall_seconds=10)


@functools.cache
def own_bank() -> tuple[Problem, ...]:
    """All of our problems, by name."""
    mutants: dict[str, list[Solution]] = {}
    if MUTANTS.is_file():
        for line in MUTANTS.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            mutants.setdefault(row["name"], []).append(Solution("python", row["code"], row["note"]))
    names = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    return tuple(_load(name, tuple(mutants.get(name, ()))) for name in names)


def module(name: str) -> ModuleType:
    """The file of one problem, imported."""
    return importlib.import_module(f"openzaya.envs.code.bank.{name}")


def _load(name: str, rejected: tuple[Solution, ...]) -> Problem:
    made = module(name)
    source = Path(inspect.getfile(made)).read_text(encoding="utf-8")
    tree = ast.parse(source)
    annotations = {k: str(v) for k, v in made.solve.__annotations__.items()}
    params = tuple((k, _type(v)) for k, v in made.solve.__annotations__.items() if k != "return")
    accepted = [Solution("python", solution_source(tree))]
    program = FOLDER / f"{name}.cpp"
    if program.is_file():
        accepted.append(Solution("cpp", program.read_text(encoding="utf-8")))
    assert annotations, f"{name}: solve has no annotations"

    def fresh(rng: random.Random, size: int) -> Call:
        return Call(tuple(made.make(rng, size)))

    def expected(given: Call) -> Any:
        return made.solve(*copy.deepcopy(given.args))

    tests = _tests(name, fresh, expected)
    return Problem(
        name=name,
        statement=(ast.get_docstring(tree) or "").strip(),
        entry="solve",
        params=params,
        result=_type(made.solve.__annotations__["return"]),
        accepted=tuple(accepted),
        rejected=rejected,
        samples=tuple(tests[:SAMPLES]),
        hidden=tuple(tests[SAMPLES:]),
        validator=_function(tree, "valid"),
        level=made.LEVEL,
        source=SOURCE,
        licence="Apache-2.0",
        make=fresh,
        solve=made.solve,
        valid=made.valid,
        limits=LIMITS,
    )


def _tests(name: str, fresh: Any, expected: Any) -> list[Case]:
    """Small ones first; then ever larger ones, all different."""
    tests: list[Case] = []
    seen: set[str] = set()
    for i in range(400):
        size = 2 if len(tests) < SAMPLES else 1 + len(tests) // 3
        given = fresh(random.Random(f"bank:{name}:{i}"), size)
        if repr(given.args) not in seen:
            seen.add(repr(given.args))
            tests.append(Case(given, expected(given)))
        if len(tests) == SAMPLES + HIDDEN:
            break
    return tests


def solution_source(tree: ast.Module) -> str:
    """The reference alone: what a person would hand in."""
    kept = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and node.name in HELPERS)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEVEL")
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    return "\n\n".join(ast.unparse(node) for node in kept) + "\n"


def _function(tree: ast.Module, name: str) -> str:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return ast.unparse(found[0]) + "\n"


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not getattr(
        annotation, "__args__", None
    ) else str(annotation)  # fmt: skip
