"""What one of our own environments is: a maker of problems, a solver, and a judge that does not
trust the solver.

A subclass writes `make`, `solve`, `judge` and `size`; this class turns them into an `Environment`.
The judge accepts every right answer, not only the solver's, and so checks an answer against the
problem itself: it never compares with what `solve` says where several answers are right.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from openzaya.answers import final_answer
from openzaya.envs.base import fingerprint
from openzaya.envs.generators.parse import Unparseable
from openzaya.types import Message, Outcome, Problem, Score

LONGEST_ANSWER = 100_000
"""Characters. No problem here asks for more, and judging must stay fast on any text."""


class Generator(ABC):
    """One environment of our own. Problems are pure functions of (name, version, difficulty, seed).

    A change of what a seed yields, or of what counts as right, is a new `version`.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    form: ClassVar[str]
    """What the answer looks like, in the prompt's words: "a whole number"."""
    version: ClassVar[str] = "1"
    source: ClassVar[str] = "openzaya"
    licence: ClassVar[str] = "Apache-2.0"

    @abstractmethod
    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        """(the question, what solver and judge need of it): JSON values, ready to be stored."""

    @abstractmethod
    def solve(self, private: Mapping[str, Any]) -> str:
        """A right answer in the form asked for."""

    @abstractmethod
    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        """Whether `answer` solves the problem; Unparseable where it has no such form."""

    @abstractmethod
    def size(self, private: Mapping[str, Any]) -> float:
        """How large the instance is; on average it grows with the difficulty."""

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        rng = random.Random(f"{self.name}:{self.version}:{difficulty}:{seed}")
        question, private = self.make(rng, difficulty)
        prompt = f"{question}\nGive {self.form} inside <answer></answer>."
        return Problem(self.name, seed, prompt, private, fingerprint(prompt), difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer.strip():
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        said, marked = final_answer(answer)
        if len(said) > LONGEST_ANSWER:
            return Score(0.0, Outcome.UNPARSEABLE, False, f"{len(said)} characters")
        try:
            right = self.judge(problem.private, said)
        except Unparseable as error:
            return Score(0.0, Outcome.UNPARSEABLE, False, str(error))
        except Exception as error:  # the one boundary: whatever a text does to a judge is a score
            return Score(0.0, Outcome.VERIFIER_ERROR, marked, f"{type(error).__name__}: {error}")
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG, marked)

    def oracle(self, problem: Problem) -> Message:
        return Message("assistant", f"<answer>{self.solve(problem.private)}</answer>")
