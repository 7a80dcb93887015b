"""Write a program: from a statement, in Python or C++, or from examples alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from openzaya.envs.code import extract
from openzaya.envs.code.families import (
    CodeEnvironment,
    examples,
    fenced,
    packed,
    show_expected,
    show_given,
    signature,
    stream_form,
    unpacked,
)
from openzaya.envs.code.judge import as_streams, judge
from openzaya.envs.code.problem import Case
from openzaya.envs.code.problem import Problem as Task
from openzaya.envs.sandbox import Language
from openzaya.envs.sandbox.driver import decode, encode
from openzaya.types import Score

SHOWN = 2
FEWEST_EXAMPLES, MOST_EXAMPLES = 5, 12


class SolvePython(CodeEnvironment):
    """A function, or a program where the bank's problem asks for one; hidden tests decide."""

    name = "code_solve_python"
    language: ClassVar[Language] = "python"

    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        shown = examples(task, rng, difficulty, SHOWN)
        parts = [task.statement, self.form(task)]
        parts += [self.example(task, test) for test in shown]
        parts.append(f"Put the whole solution into one ```{self.language} block.")
        return "\n\n".join(part for part in parts if part), {"shown": [_pack(t) for t in shown]}

    def form(self, task: Task) -> str:
        if task.entry is None:
            return "Write a Python program that reads standard input and writes standard output."
        if not task.params:
            return ""
        return f"Write a Python function `{signature(task, task.entry)}`."

    def example(self, task: Task, test: Case) -> str:
        given, expected = show_given(task, test.given), show_expected(task, test.expected)
        if task.entry is None:
            return f"Example input:\n{fenced(given)}\nIts output:\n{fenced(expected)}"
        return f"Example: {task.entry}({given}) == {expected}"

    def verdict(self, task: Task, private: Mapping[str, Any], text: str) -> Score:
        code = extract.program(text, self.language)
        return judge(self.sandbox, task, code, self.language, self.tests(task, private)).score()

    def tests(self, task: Task, private: Mapping[str, Any]) -> list[Case]:
        """What was shown must hold too, unless the tests are a judge's own sequence of calls."""
        if task.judge is not None:
            return list(task.hidden)
        return [*map(_unpack, private["shown"]), *task.hidden]

    def solution(self, task: Task, private: Mapping[str, Any]) -> str | None:
        code = task.reference(self.language)
        return None if code is None else fenced(code, self.language)


class SolveCpp(SolvePython):
    """A C++20 program."""

    name = "code_solve_cpp"
    language: ClassVar[Language] = "cpp"

    def usable(self, task: Task) -> bool:
        streams = task.entry is None or task.typed
        return streams and bool(task.hidden) and task.reference("cpp") is not None

    def form(self, task: Task) -> str:
        words = "Write a C++20 program that reads standard input and writes standard output."
        return words if task.entry is None else f"{words}\n{stream_form(task)}"

    def example(self, task: Task, test: Case) -> str:
        if task.entry is not None:
            test = as_streams(task, test)
        assert isinstance(test.given, bytes)
        given = test.given.decode("utf-8", "replace")
        return f"Example input:\n{fenced(given)}\nIts output:\n{fenced(test.expected)}"


class Reconstruction(SolvePython):
    """A function from its title, types and examples: the statement is not told. Fewer examples as
    the difficulty grows; held-out tests decide."""

    name = "code_reconstruction"

    def usable(self, task: Task) -> bool:
        return super().usable(task) and task.typed and (task.make is not None or bool(task.samples))

    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count = max(FEWEST_EXAMPLES, MOST_EXAMPLES - difficulty)
        shown = examples(task, rng, min(difficulty, 4) + 1, count)
        title = task.statement.splitlines()[0].rstrip(".")
        calls = "\n".join(
            f"{task.entry}({show_given(task, t.given)}) == {show_expected(task, t.expected)}"
            for t in shown
        )
        prompt = (
            f'A hidden function `{signature(task, str(task.entry))}`, "{title}", gives\n\n'
            f"{calls}\n\nWrite a Python function that does the same for every input. "
            "Put it into one ```python block."
        )
        return prompt, {"shown": [_pack(t) for t in shown]}


def _pack(test: Case) -> dict[str, Any]:
    return packed(test.given) | {"expected": encode(test.expected)}


def _unpack(told: Mapping[str, Any]) -> Case:
    return Case(unpacked(told), decode(told["expected"]))
