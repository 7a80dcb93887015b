"""Environments whose generator and scorer others wrote: they run in worker processes.

What comes back from there is JSON, and every way in which foreign code can fail has one outcome
here: too slow is a timeout, a process that dies is a verifier error, and a scorer that stumbles
over an answer has not recognised one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from openzaya.answers import final_answer
from openzaya.envs.base import GenerationFailed, fingerprint
from openzaya.envs.workers import CallFailed, CallTimeout, WorkerPool
from openzaya.types import Message, Outcome, Problem, Score

LONGEST_ANSWER = 100_000
"""Characters; none of the problems asks for more."""
FORM = "Give only the answer inside <answer></answer>."


class ForeignEnvironment(ABC):
    """The part that the adapters share: calls, time limits and outcomes."""

    name: str
    family: str
    source: str
    licence: str
    version: str
    max_difficulty: int | None = None
    """Higher difficulties give the problems of this one; None: there is no upper end."""
    generate_seconds = 20.0
    score_seconds = 10.0

    @property
    @abstractmethod
    def pool(self) -> WorkerPool: ...

    @abstractmethod
    def task(self, difficulty: int) -> dict[str, Any]:
        """What the worker must be told to find the task."""

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        level = difficulty if self.max_difficulty is None else min(difficulty, self.max_difficulty)
        try:
            made = self.pool.call(
                "generate", timeout=self.generate_seconds, seed=seed, **self.task(level)
            )
        except (CallFailed, CallTimeout) as error:
            raise GenerationFailed(
                f"{self.name}: no problem for seed {seed} at difficulty {level}: {error}",
                "take another seed or a lower difficulty",
            ) from None
        prompt = made["prompt"]
        return Problem(self.name, seed, prompt, made["private"], fingerprint(prompt), level)

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer.strip():
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        said, marked = final_answer(answer)
        if len(said) > LONGEST_ANSWER:
            return Score(0.0, Outcome.UNPARSEABLE, False, f"{len(said)} characters")
        return self.asked(problem, said, marked)

    def asked(self, problem: Problem, said: str, marked: bool) -> Score:
        """The scorer's verdict on `said`."""
        try:
            verdict = self.pool.call(
                "score",
                timeout=self.score_seconds,
                private=dict(problem.private),
                answer=said,
                **self.task(problem.difficulty),
            )
        except CallTimeout as error:
            return Score(0.0, Outcome.TIMEOUT, marked, str(error))
        except CallFailed as error:
            return Score(0.0, Outcome.VERIFIER_ERROR, marked, str(error))
        return _scored(verdict, marked)

    def oracle(self, problem: Problem) -> Message | None:
        answer = problem.private.get("answer")
        return None if answer is None else Message("assistant", f"<answer>{answer}</answer>")


def _scored(verdict: Mapping[str, Any], marked: bool) -> Score:
    """`credit` is the scorer's own, in [0, 1]. Only all of it counts: some give parts to junk."""
    if "stumbled" in verdict:
        return Score(0.0, Outcome.UNPARSEABLE, marked, verdict["stumbled"])
    credit = verdict["credit"]
    if credit >= 1.0 - 1e-9:
        return Score(1.0, Outcome.CORRECT, marked)
    reason = f"the scorer gives {credit:.2f} of 1" if credit > 0 else ""
    return Score(0.0, Outcome.WRONG, marked, reason)
