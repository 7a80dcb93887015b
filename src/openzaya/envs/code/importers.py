"""Public problem sets, read from the files that their authors publish.

Each importer gives the problems it could read and names the others with the reason. Nothing of
theirs is kept here; their code runs in the sandbox only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.code.asserts import recorded
from openzaya.envs.code.problem import Case, Problem, Solution, load_bank, read_jsonl
from openzaya.envs.sandbox import Language, Sandbox
from openzaya.errors import EnvError

SHOWN = 3
"""Tests that a prompt may show where the set does not say which."""
LEETCODE_LEVELS = {"Easy": 0, "Medium": 1, "Hard": 2}
CODE_CONTESTS: dict[int, Language] = {2: "cpp", 3: "python"}
"""Its numbers of languages; Python 2 and Java are left out."""


@dataclass(frozen=True, slots=True)
class Imported:
    problems: list[Problem] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """name -> why."""


def import_bank(path: Path, form: str, sandbox: Sandbox) -> Imported:
    """Problems of the file `path` in `form`, one of FORMS. EnvError for a file that is none."""
    if form == "openzaya":
        return Imported(load_bank(path))
    if form not in READERS:
        raise EnvError(f"no problem set has the form {form!r}", f"known: {', '.join(FORMS)}")
    made = Imported()
    for where, row in read_jsonl(path):
        name = str(row.get("task_id", row.get("name", where)))
        try:
            made.problems.append(READERS[form](row, sandbox))
        except EnvError as error:
            made.refused[name] = str(error)
        except (KeyError, TypeError, ValueError, AttributeError, SyntaxError) as error:
            reason = f"not in the form {form}: {type(error).__name__} {error}"
            made.refused[name] = reason[:300]
    if not made.problems and made.refused:
        name, reason = next(iter(made.refused.items()))
        raise EnvError(f"{path}: no problem of the form {form}: {name}: {reason}",
                       f"known forms: {', '.join(FORMS)}")  # fmt: skip
    return made


def humaneval(row: Mapping[str, Any], sandbox: Sandbox) -> Problem:
    """openai/human-eval (MIT): prompt, canonical_solution, test, entry_point."""
    code = row["prompt"] + row["canonical_solution"]
    tests, judge = recorded(sandbox, code, row["test"], row["entry_point"])
    return Problem(
        name=row["task_id"],
        statement=f"Complete this Python function.\n\n```python\n{row['prompt'].rstrip()}\n```",
        entry=row["entry_point"],
        prelude=row["prompt"],
        accepted=(Solution("python", code),),
        hidden=tuple(tests),
        comparison="equal",
        judge=judge,
        source="HumanEval",
        licence="MIT",
    )


def mbpp(row: Mapping[str, Any], sandbox: Sandbox) -> Problem:
    """google-research MBPP (CC-BY-4.0): text or prompt, code, test_list."""
    code = row["code"].replace("\r\n", "\n")
    asserts = [*row["test_list"], *row.get("challenge_test_list", [])]
    called = re.search(r"assert\s+(?:not\s+)?\(*(?:\w+\.)*(?:set|sorted|list|len)?\(*(\w+)\s*\(",
                       asserts[0])  # fmt: skip
    if called is None:
        raise EnvError("its first test calls no function")
    entry = called[1]
    name = re.compile(rf"(?<![.\w]){re.escape(entry)}(?=[(])")
    body = "\n".join(f"    {name.sub('candidate', line)}" for line in asserts)
    setup = "\n".join(row.get("test_imports", [])) + "\n" + row.get("test_setup_code", "")
    tests, judge = recorded(sandbox, code, f"{setup}\ndef check(candidate):\n{body}\n", entry)
    shown = "\n".join(row["test_list"][:1])
    text = row.get("text", row.get("prompt"))
    return Problem(
        name=f"MBPP/{row['task_id']}",
        statement=f"{text}\nThe function is tested like this:\n\n```python\n{shown}\n```",
        entry=entry,
        prelude=setup.strip(),
        accepted=(Solution("python", code),),
        samples=tuple(tests[:1]) if judge is None else (),
        hidden=tuple(tests),
        comparison="equal",
        judge=judge,
        source="MBPP",
        licence="CC-BY-4.0",
    )


def leetcode(row: Mapping[str, Any], sandbox: Sandbox) -> Problem:
    """newfacade/LeetCodeDataset (Apache-2.0): prompt, completion, test, entry_point."""
    code = f"{row['prompt']}\n{row['completion']}"
    tests, judge = recorded(sandbox, code, row["test"], row["entry_point"])
    starter = row.get("starter_code", "")
    return Problem(
        name=f"LeetCode/{row['task_id']}",
        statement=f"{row['problem_description'].strip()}\n\n```python\n{starter}\n```",
        entry=row["entry_point"],
        prelude=row["prompt"],
        accepted=(Solution("python", code),),
        hidden=tuple(tests),
        comparison="equal",
        judge=judge,
        level=LEETCODE_LEVELS.get(row.get("difficulty", ""), 1),
        source="LeetCodeDataset",
        licence="Apache-2.0",
    )


def code_contests(row: Mapping[str, Any], sandbox: Sandbox) -> Problem:
    """deepmind/code_contests (CC-BY-4.0), as JSON: tests and solutions as parallel lists."""
    limit = row.get("time_limit") or {}
    seconds = float(limit.get("seconds", 0)) + float(limit.get("nanos", 0)) / 1e9 or 5.0
    memory = int(row.get("memory_limit_bytes") or 0) >> 20 or 512
    hidden = (*_streams(row.get("private_tests")), *_streams(row.get("generated_tests")))
    samples = _streams(row.get("public_tests"))
    if not samples and not hidden:
        raise EnvError("it has no tests")
    return Problem(
        name=str(row["name"]),
        statement=row["description"].strip(),
        entry=None,
        accepted=_solutions(row.get("solutions")),
        rejected=_solutions(row.get("incorrect_solutions")),
        samples=samples[:SHOWN],
        hidden=hidden or samples,
        comparison="tokens",
        source="CodeContests",
        licence="CC-BY-4.0",
        limits=LimitsConfig(
            cpu_seconds=2 * seconds, wall_seconds=6 * seconds + 5, memory_mb=max(memory, 256)
        ),
    )


def _streams(table: Any) -> tuple[Case, ...]:
    if not table:
        return ()
    pairs = zip(table["input"], table["output"], strict=True)
    return tuple(Case(given.encode(), expected) for given, expected in pairs)


def _solutions(table: Any) -> tuple[Solution, ...]:
    if not table:
        return ()
    pairs = zip(table["language"], table["solution"], strict=True)
    return tuple(Solution(CODE_CONTESTS[n], code) for n, code in pairs if n in CODE_CONTESTS)


READERS: dict[str, Callable[[Mapping[str, Any], Sandbox], Problem]] = {
    "humaneval": humaneval,
    "mbpp": mbpp,
    "leetcode": leetcode,
    "code_contests": code_contests,
}
FORMS = ("openzaya", *READERS)
