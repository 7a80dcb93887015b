"""A programming problem, and banks of them as files.

A bank is a JSONL file: one problem a line, its fields those of `Problem`; values that JSON does not
have (tuples, sets, whole numbers beyond 2^53, floats) are written as `driver.encode` tells them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.code.compare import Comparison
from openzaya.envs.code.layout import TYPES
from openzaya.envs.sandbox import Call, Input, Language
from openzaya.envs.sandbox.driver import decode, encode
from openzaya.errors import EnvError


@dataclass(frozen=True, slots=True)
class Solution:
    language: Language
    code: str
    note: str = ""
    """Of a rejected one: what was done to it."""


@dataclass(frozen=True, slots=True)
class Case:
    """An input, and what a right program gives for it: a value, or standard output."""

    given: Input
    expected: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One task for programs. With `entry` it asks for a function, else for a whole program."""

    name: str
    statement: str
    entry: str | None
    """How the function is called from outside: ``solve``, ``Solution().twoSum``."""
    params: tuple[tuple[str, str], ...] = ()
    """(name, type) of each argument, where they are among `layout.TYPES`: only then can inputs be
    checked, written in prompts, and turned into standard input."""
    result: str = ""
    prelude: str = ""
    """Python that stands before a solution: imports and classes that the statement promises."""
    accepted: tuple[Solution, ...] = ()
    rejected: tuple[Solution, ...] = ()
    samples: tuple[Case, ...] = ()
    """Tests that a prompt may show."""
    hidden: tuple[Case, ...] = ()
    """Tests that no prompt shows."""
    comparison: Comparison = "exact"
    judge: str | None = None
    """Python of tests that compare in their own way: see `asserts`. It runs in a sandbox of its
    own, without the candidate, on what the candidate returned."""
    validator: str | None = None
    """Python with a function `valid(*args)`: whether an input is allowed."""
    level: int = 0
    source: str = ""
    licence: str = ""
    limits: LimitsConfig | None = None
    make: Callable[[random.Random, int], Call] | None = field(default=None, compare=False)
    """Fresh inputs (rng, size), where the problem comes with a generator that we trust."""
    solve: Callable[..., Any] | None = field(default=None, compare=False)
    """The reference, where we trust it."""
    valid: Callable[..., bool] | None = field(default=None, compare=False)

    @property
    def typed(self) -> bool:
        """Whether arguments and result have types that inputs can be checked by."""
        return bool(self.params) and all(t in TYPES for t in (*dict(self.params).values(),
                                                              self.result))  # fmt: skip

    def reference(self, language: Language = "python") -> str | None:
        """The first accepted solution in `language`."""
        return next((s.code for s in self.accepted if s.language == language), None)


_PLAIN = ("name", "statement", "entry", "result", "prelude", "comparison", "judge", "validator",
          "level", "source", "licence")  # fmt: skip


def to_row(problem: Problem) -> dict[str, Any]:
    """The problem as JSON. Its trusted functions stay behind."""
    return {
        **{name: getattr(problem, name) for name in _PLAIN},
        "params": [list(p) for p in problem.params],
        "accepted": [_solution(s) for s in problem.accepted],
        "rejected": [_solution(s) for s in problem.rejected],
        "samples": [_test(t) for t in problem.samples],
        "hidden": [_test(t) for t in problem.hidden],
        "limits": None if problem.limits is None else problem.limits.model_dump(),
    }


def from_row(row: dict[str, Any], where: str) -> Problem:
    """EnvError with `where` for a row that is no problem."""
    known = {f.name for f in fields(Problem)} - {"make", "solve", "valid"}
    try:
        if unknown := row.keys() - known:
            raise ValueError(f"unknown field {sorted(unknown)[0]}")
        limits = row.get("limits")
        return Problem(
            **{name: row[name] for name in _PLAIN if name in row},
            params=tuple((str(n), str(t)) for n, t in row.get("params", [])),
            accepted=tuple(Solution(**s) for s in row.get("accepted", [])),
            rejected=tuple(Solution(**s) for s in row.get("rejected", [])),
            samples=tuple(map(_read_test, row.get("samples", []))),
            hidden=tuple(map(_read_test, row.get("hidden", []))),
            limits=None if limits is None else LimitsConfig.model_validate(limits),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise EnvError(
            f"{where}: no problem: {error}".replace("\n", " ")[:300],
            "docs/sandbox.md describes the fields",
        ) from None


def save_bank(problems: Iterable[Problem], path: Path) -> None:
    lines = [json.dumps(to_row(problem)) + "\n" for problem in problems]
    path.write_text("".join(lines), encoding="utf-8")


def load_bank(path: Path) -> list[Problem]:
    """EnvError names the line that is wrong."""
    return [from_row(row, where) for where, row in read_jsonl(path)]


def read_jsonl(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """(file:line, row) of a JSONL file, gzipped or not."""
    import gzip

    if not path.is_file():
        raise EnvError(f"{path}: no such file", "give the path of a JSONL file of problems")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise EnvError(f"{path}:{number}: not JSON: {error}"[:300]) from None
            if not isinstance(row, dict):
                raise EnvError(f"{path}:{number}: a problem is an object")
            yield f"{path}:{number}", row


def _solution(solution: Solution) -> dict[str, str]:
    return {"language": solution.language, "code": solution.code, "note": solution.note}


def _test(test: Case) -> dict[str, Any]:
    if isinstance(test.given, Call):
        given = {"args": encode(test.given.args), "kwargs": encode(dict(test.given.kwargs))}
    else:
        given = {"stdin": test.given.decode("utf-8", "surrogateescape")}
    return {**given, "expected": encode(test.expected)}


def _read_test(row: dict[str, Any]) -> Case:
    expected = decode(row["expected"])
    if "stdin" in row:
        return Case(row["stdin"].encode("utf-8", "surrogateescape"), expected)
    args, kwargs = decode(row["args"]), decode(row.get("kwargs", {"d": []}))
    if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
        raise ValueError("args should be a list and kwargs an object")
    return Case(Call(tuple(args), kwargs), expected)
