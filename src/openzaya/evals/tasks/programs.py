"""Programs against hidden tests, in our sandbox: HumanEval, MBPP, LiveCodeBench.

Tests are recorded from the published solution once, in the sandbox, when the first program of a
problem is judged; the candidate's process never sees them (`envs/code/asserts`).
"""

from __future__ import annotations

import base64
import functools
import io
import json
import pickle
import zlib
from collections.abc import Callable
from typing import Any

from openzaya.envs.code import extract
from openzaya.envs.code.importers import humaneval as read_humaneval
from openzaya.envs.code.importers import mbpp as read_mbpp
from openzaya.envs.code.judge import judge
from openzaya.envs.code.problem import Case, Problem
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.sandbox import Call, Sandbox, open_sandbox
from openzaya.errors import EnvError
from openzaya.evals.scorers import no_answer
from openzaya.evals.tasks.spec import CODE, Item, Row, Source, TaskSpec, Verdict, ask
from openzaya.ttc.kinds import FORMS, normalised
from openzaya.types import Outcome, Score

TOKENS, SHORT_TOKENS = 65_536, 32_768
HUMANEVAL = "e1566e3a7791d75427d005dc3bac931ecc70aa7bedd9dd40fe1684dba9017b07"
"""Of github.com/openai/human-eval, data/HumanEval.jsonl.gz, as `data.digest_of` sees it."""
WINDOW = ("2025-02", "2025-05")
"""Months of LiveCodeBench v6 that the report measures."""


def humaneval(rows: list[Row]) -> list[Item]:
    """prompt, canonical_solution, test, entry_point, task_id."""
    return [
        Item(
            row["task_id"].replace("/", "-"),
            ask(f"Complete this Python function.\n\n```python\n{row['prompt'].rstrip()}\n```\n\n"
                f"{FORMS['code']}"),
            row["canonical_solution"], _Lazy(read_humaneval, row),
        )
        for row in rows
    ]  # fmt: skip


def mbpp(rows: list[Row]) -> list[Item]:
    """text or prompt, code, test_list, task_id: the test split is 11 to 510."""
    items = []
    for row in rows:
        text, shown = row.get("text") or row["prompt"], row["test_list"][0]
        question = f"{text}\nThe function is tested like this:\n\n```python\n{shown}\n```\n\n"
        form = FORMS["code"]
        items.append(
            Item(str(row["task_id"]), ask(question + form), row["code"], _Lazy(read_mbpp, row))
        )
    return items


def livecodebench(rows: list[Row]) -> list[Item]:
    """question_content, starter_code, public and private tests; only the report's months."""
    kept = [r for r in rows if WINDOW[0] <= str(r["contest_date"])[:7] <= WINDOW[1]]
    if not kept:
        raise ValueError(f"no problem from {WINDOW[0]} to {WINDOW[1]}: release v6 is test6.jsonl")
    return [_livecode(row) for row in kept]


def _livecode(row: Row) -> Item:
    starter = row.get("starter_code") or ""
    if starter:
        form = f"Complete this starter code.\n\n```python\n{starter}\n```"
    else:
        form = "Write a Python program that reads standard input and writes standard output."
    question = f"{row['question_content']}\n\n{form}\n\n{FORMS['code']}"
    return Item(str(row["question_id"]), ask(question), "hidden tests", _Lazy(_live, row))


def _live(row: Row, _: Sandbox) -> Problem:
    tests = [*json.loads(row["public_test_cases"]), *_private(row["private_test_cases"])]
    name = json.loads(row.get("metadata") or "{}").get("func_name")
    if not tests:
        raise EnvError(f"{row['question_id']} has no tests")
    made = []
    for test in tests:
        if name is None:
            made.append(Case(test["input"].encode(), test["output"]))
        else:
            args = tuple(json.loads(line) for line in test["input"].splitlines() if line.strip())
            made.append(Case(Call(args), json.loads(test["output"])))
    typing = "from typing import *\nfrom collections import *\nimport math, heapq, bisect\n"
    return Problem(
        name=str(row["question_id"]), statement=row["question_content"],
        entry=None if name is None else f"Solution().{name}", hidden=tuple(made),
        prelude="" if name is None else typing, comparison="equal", source="LiveCodeBench",
    )  # fmt: skip


class _Text(pickle.Unpickler):
    """Of a pickle that should be one string: no class is ever looked up."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a test case")


def _private(text: str) -> list[dict[str, str]]:
    """JSON, or JSON pickled, deflated and in base64, as the hub has it."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    told = _Text(io.BytesIO(zlib.decompress(base64.b64decode(text)))).load()
    return json.loads(told)


class _Lazy:
    """A problem that is made, in the sandbox, when somebody is first judged by it."""

    def __init__(self, read: Callable[[Row, Sandbox], Problem], row: Row) -> None:
        self._read, self.row = read, row

    @functools.cached_property
    def problem(self) -> Problem:
        return self._read(self.row, open_sandbox())


def program(item: Item, response: str | None) -> Verdict:
    """The last Python block against all hidden tests. What the sandbox, or a published row, does
    wrong is a verifier error, never a verdict."""
    if response is None or not response.strip():
        return no_answer("no answer")
    try:
        code = extract.program(response, "python")
    except Unparseable as error:
        return no_answer(str(error)[:200])
    vote = normalised("code", code)
    try:
        problem = item.private.problem
        score = judge(open_sandbox(), problem, code, "python", problem.hidden).score()
    except Exception as error:  # whatever a program or a row does to its judge is an outcome
        reason = f"{type(error).__name__}: {error}"[:300]
        score = Score(0.0, Outcome.VERIFIER_ERROR, True, reason)
    return Verdict(score, vote)


TASKS = (
    TaskSpec(
        "humaneval", "complete a Python function from its docstring",
        Source("openai/openai_humaneval", "test", 164, digest=HUMANEVAL, licence="MIT"),
        CODE, 16, SHORT_TOKENS, "code", humaneval, program, needs="sandbox",
    ),
    TaskSpec(
        "mbpp", "short Python functions, each with three assertions",
        Source("google-research-datasets/mbpp", "test", 500, "full", licence="CC-BY-4.0"),
        CODE, 16, SHORT_TOKENS, "code", mbpp, program, needs="sandbox",
    ),
    TaskSpec(
        "livecodebench-v6", f"contest problems from {WINDOW[0]} to {WINDOW[1]}",
        Source(
            "livecodebench/code_generation_lite", "test", None, files=("test6.jsonl",),
            licence="research use",
        ),
        CODE, 16, TOKENS, "code", livecodebench, program, "LCB-v6", "sandbox",
    ),
)  # fmt: skip
