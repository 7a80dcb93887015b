"""What the code environments share: a bank, a sandbox, prompts, and scores that never raise.

Every family is made from any bank. Where a problem comes with a generator that we trust, inputs are
fresh for each seed and grow with the difficulty; otherwise they are drawn from its stored tests.
Problems above the difficulty's level are left out, so that higher difficulties ask for more.
"""

from __future__ import annotations

import copy
import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from openzaya.envs.base import fingerprint
from openzaya.envs.code.layout import RESULT_WORDS, WORDS
from openzaya.envs.code.own import own_bank
from openzaya.envs.code.problem import Case, load_bank
from openzaya.envs.code.problem import Problem as Task
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.sandbox import Call, Input, Program, Run, Sandbox, open_sandbox
from openzaya.envs.sandbox.driver import decode, encode
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

TRIES = 30
TRIVIAL = (0, 1, -1, "", "0", "1")
"""Results that are guessed too easily to ask for."""


@functools.cache
def bank_of(path: str) -> tuple[Task, ...]:
    """The bank "own", or that of a JSONL file."""
    return own_bank() if path == "own" else tuple(load_bank(Path(path)))


class CodeEnvironment(ABC):
    """An `Environment` over a bank of problems."""

    name: ClassVar[str]
    family = "code"
    version: ClassVar[str] = "1"

    def __init__(self, bank: str = "own", sandbox: Sandbox | None = None) -> None:
        """`sandbox`: none opens this process's own when a score first needs it."""
        self.bank = bank
        self.tasks = {task.name: task for task in bank_of(bank) if self.usable(task)}
        if not self.tasks:
            raise EnvError(f"{self.name}: no problem of the bank {bank} can be used",
                           "its problems need tests and a Python reference")  # fmt: skip
        first = next(iter(self.tasks.values()))
        self.source, self.licence = first.source, first.licence
        self._sandbox = sandbox

    @property
    def sandbox(self) -> Sandbox:
        """EnvError where none can be built."""
        return self._sandbox or open_sandbox()

    def __reduce__(self) -> tuple[Any, ...]:
        """By its bank: generators and sandboxes are made anew in another process."""
        return type(self), (self.bank,)

    def usable(self, task: Task) -> bool:
        """Whether the family can ask about `task`."""
        return task.reference() is not None and bool(task.hidden)

    @abstractmethod
    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        """(prompt, what scoring needs besides the problem's name, as JSON)."""

    @abstractmethod
    def verdict(self, task: Task, private: Mapping[str, Any], text: str) -> Score:
        """Judge a text. Unparseable where it holds no answer."""

    @abstractmethod
    def solution(self, task: Task, private: Mapping[str, Any]) -> str | None:
        """A text that scores 1."""

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        rng = random.Random(f"{self.name}:{self.version}:{difficulty}:{seed}")
        tasks = list(self.tasks.values())
        level = max(difficulty, min(task.level for task in tasks))
        task = rng.choice([t for t in tasks if t.level <= level])
        prompt, private = self.ask(task, rng, difficulty)
        private["task"] = task.name
        return Problem(self.name, seed, prompt, private, fingerprint(prompt), difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer.strip():
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        task = self.tasks[problem.private["task"]]
        try:
            return self.verdict(task, problem.private, answer)
        except Unparseable as error:
            return Score(0.0, Outcome.UNPARSEABLE, False, str(error)[:300])
        except EnvError:
            raise  # no sandbox: the run must stop, or every answer is wrong
        except Exception as error:  # the one boundary: whatever a text does to a judge is a score
            return Score(
                0.0, Outcome.VERIFIER_ERROR, True, f"{type(error).__name__}: {error}"[:300]
            )

    def oracle(self, problem: Problem) -> Message | None:
        text = self.solution(self.tasks[problem.private["task"]], problem.private)
        return None if text is None else Message("assistant", text)

    def run_reference(self, task: Task, given: Input, check: bool) -> tuple[bool, Run]:
        """(whether the input is allowed, the reference's run on it), in the sandbox. Without a
        validator whatever the reference takes is allowed."""
        if check and task.validator is not None and isinstance(given, Call):
            valid = self.sandbox.run(Program("python", task.validator, "valid"), [given])[0]
            if valid.value is not True:
                return False, valid
        code = task.reference()
        assert code is not None
        prelude = f"{task.prelude}\n" if task.prelude and task.entry else ""
        run = self.sandbox.run(Program("python", prelude + code, task.entry), [given],
                               task.limits)[0]  # fmt: skip
        return run.status.value == "ok", run


def fresh_test(task: Task, rng: random.Random, difficulty: int) -> Case:
    """An input with the reference's result: made for this seed, or one of the stored tests."""
    if task.make is None or task.solve is None or task.valid is None:
        return rng.choice([*task.hidden, *task.samples])
    size = 1 + difficulty
    while True:
        given = task.make(rng, size)
        if task.valid(*copy.deepcopy(given.args)):
            return Case(given, task.solve(*copy.deepcopy(given.args)))
        size //= 2  # beyond what the statement allows


def telling_test(task: Task, rng: random.Random, difficulty: int) -> Case:
    """A fresh test whose result is not guessed easily, if some tries find one."""
    test = fresh_test(task, rng, difficulty)
    for _ in range(TRIES):
        if test.expected not in TRIVIAL and test.expected != []:
            break
        test = fresh_test(task, rng, difficulty)
    return test


def examples(task: Task, rng: random.Random, difficulty: int, count: int) -> list[Case]:
    """Different tests to show: never hidden ones of a foreign bank."""
    if task.make is None:
        return list(task.samples[:count])
    shown: dict[str, Case] = {}
    for _ in range(4 * count):
        test = fresh_test(task, rng, difficulty)
        shown.setdefault(show_given(task, test.given), test)
        if len(shown) == count:
            break
    return list(shown.values())


def show_given(task: Task, given: Input) -> str:
    """An input as prompts show it and `extract.arguments` reads it."""
    if isinstance(given, bytes):
        return given.decode("utf-8", "replace").rstrip("\n")
    named = [f"{k}={v!r}" for k, v in given.kwargs.items()]
    return ", ".join([*map(repr, given.args), *named])


def show_expected(task: Task, expected: Any) -> str:
    return expected.rstrip("\n") if task.entry is None else repr(expected)


def signature(task: Task, name: str = "solve") -> str:
    params = ", ".join(f"{n}: {t}" for n, t in task.params)
    return f"{name}({params}) -> {task.result}" if task.params else f"{task.entry}"


def stream_form(task: Task) -> str:
    """What standard input and output hold, in words."""
    lines = [f"- {name}: {WORDS[kind]}" for name, kind in task.params]
    return "Input:\n" + "\n".join(lines) + f"\nOutput: {RESULT_WORDS[task.result]}"


def fenced(code: str, language: str = "") -> str:
    return f"```{language}\n{code.rstrip()}\n```"


def packed(given: Input) -> Any:
    """An input as JSON, for a problem's private part."""
    if isinstance(given, bytes):
        return {"stdin": given.decode("utf-8", "surrogateescape")}
    return {"args": encode(given.args), "kwargs": encode(dict(given.kwargs))}


def unpacked(told: Mapping[str, Any]) -> Input:
    if "stdin" in told:
        return told["stdin"].encode("utf-8", "surrogateescape")
    return Call(tuple(decode(told["args"])), decode(told["kwargs"]))
