"""Tests that are written as assertions, turned into inputs and expected results.

`check(candidate)` would trust the candidate's process: one `os._exit(0)` and it is right. So the
accepted solution runs once with a candidate that records: its calls are the inputs, its results
what is expected. Where every assertion is `candidate(...) == value`, that is all. Where the tests
compare in their own way (a tolerance, a property), they are kept as a judge: it runs later, in a
sandbox of its own, on the candidate's results alone.
"""

from __future__ import annotations

import ast

from openzaya.envs.code.problem import Case
from openzaya.envs.sandbox import Call, Program, Sandbox, Status
from openzaya.errors import EnvError

_RECORD = """
def record():
    import copy, random
    random.seed(0)
    calls = []
    def candidate(*args, **kwargs):
        told = copy.deepcopy((args, kwargs))
        value = {entry}(*args, **kwargs)
        calls.append((*told, copy.deepcopy(value)))
        return value
    check(candidate)
    return calls
"""
_REPLAY = """
def replay(calls, results):
    import random
    random.seed(0)
    left = list(zip(calls, results))
    def candidate(*args, **kwargs):
        (told_args, told_kwargs), value = left.pop(0)
        if told_args != args or told_kwargs != kwargs:
            raise RuntimeError("the tests call otherwise than when they were recorded")
        return value
    try:
        check(candidate)
    except (AssertionError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return False
    return not left
"""


def recorded(
    sandbox: Sandbox, solution: str, tests: str, entry: str
) -> tuple[list[Case], str | None]:
    """(tests, judge or None) from Python text: `solution` defines `entry`, `tests` defines
    `check(candidate)`. EnvError where they do not go together, or call with other than plain
    values."""
    source = f"{solution}\n{tests}\n"
    program = Program("python", source + _RECORD.format(entry=entry), "record")
    run = sandbox.run(program, [Call()])[0]
    if run.status is not Status.OK or not run.returned:
        raise EnvError(f"its tests cannot be recorded: {run.reason or run.status}"[:300])
    calls = run.value
    if not calls:
        raise EnvError("its tests never call the solution")
    made = [Case(Call(args, kwargs), expected) for args, kwargs, expected in calls]
    return made, None if all_equalities(tests, len(made)) else source + _REPLAY


def all_equalities(tests: str, calls: int) -> bool:
    """Whether `tests` hold `calls` assertions `candidate(...) == value`, and no call elsewhere."""
    equalities = uses = 0
    for node in ast.walk(ast.parse(tests)):
        if isinstance(node, ast.Name) and node.id == "candidate":
            uses += 1
        if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
            continue
        left, ops, right = node.test.left, node.test.ops, node.test.comparators
        plain = isinstance(left, ast.Call) and isinstance(left.func, ast.Name)
        if (
            plain
            and left.func.id == "candidate"  # type: ignore[attr-defined]
            and len(ops) == 1
            and isinstance(ops[0], ast.Eq)
            and not any(isinstance(n, ast.Name) and n.id == "candidate" for n in ast.walk(right[0]))
        ):
            equalities += 1
    return equalities == uses == calls
