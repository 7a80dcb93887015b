"""Our long task: a running total over lettered steps, too long to write in one budget.

Every step of the solution writes its letter and the total modulo 100, so any piece of it says
where it stands and what it knows: the shape of problem Markovian RSA exists for.
"""

from __future__ import annotations

import random
import string

from openzaya.answers import final_answer
from openzaya.envs.base import fingerprint
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

_HEAD = "Add these numbers modulo one hundred and write the total after each letter:"


class RunningTotal:
    """`min_steps` .. `max_steps` numbers from 1 to 9, each with its letter: at most 26.

    Without them there are 12 to 20 steps at difficulty 0, and one more with every further one.
    """

    name = "running_total"
    family = "arithmetic"
    source = "openzaya"
    licence = "Apache-2.0"
    version = "1"
    max_difficulty = 14

    def __init__(self, min_steps: int | None = None, max_steps: int | None = None) -> None:
        self.min_steps, self.max_steps = min_steps, max_steps
        low, high = self._steps(0)
        if not 1 <= low <= high <= 26:
            raise EnvError(
                f"running_total: 1 <= min_steps {low} <= max_steps {high} <= 26 fails",
                "steps are lettered a to z",
            )

    def _steps(self, difficulty: int) -> tuple[int, int]:
        low, high = min(12 + difficulty, 26), min(20 + difficulty, 26)
        if self.max_steps is not None:
            low, high = min(low, self.max_steps), self.max_steps
        if self.min_steps is not None:
            low = self.min_steps
            high = max(low, high) if self.max_steps is None else high
        return low, high

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        rng = random.Random(f"running_total:{seed}")
        steps = rng.randint(*self._steps(difficulty))
        numbers = [rng.randint(1, 9) for _ in range(steps)]
        lettered = zip(numbers, string.ascii_lowercase, strict=False)
        prompt = f"{_HEAD} {''.join(f'{number}{letter}' for number, letter in lettered)}"
        private = {"numbers": numbers}
        return Problem(self.name, seed, prompt, private, fingerprint(prompt), difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer:
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        said, marked = final_answer(answer)
        right = (said if marked else answer) == f"{sum(problem.private['numbers']) % 100:02d}"
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)

    def oracle(self, problem: Problem) -> Message:
        return _written(_totals(problem.private["numbers"]))

    def mistake(self, problem: Problem, rng: random.Random) -> Message:
        """One step goes wrong, all later ones build on it."""
        numbers = list(problem.private["numbers"])
        totals = _totals(numbers)
        start = rng.randrange(len(numbers))
        slip = rng.choice((1, 2, 10, 90, 98, 99, rng.randint(1, 99)))
        totals[start:] = [(t + slip) % 100 for t in totals[start:]]
        return _written(totals)

    def resume(self, problem: Problem, written: int) -> Message:
        """From the last complete step, written once more: whether the chain goes on behind it
        or ends there is then decided as in any other place of a solution."""
        truth = self.oracle(problem)
        assert truth.reasoning is not None
        begin = 3 * max(0, written // 3 - 1)
        return Message("assistant", truth.content, truth.reasoning[begin:])


def _totals(numbers: list[int]) -> list[int]:
    total, totals = 0, []
    for number in numbers:
        total = (total + number) % 100
        totals.append(total)
    return totals


def _written(totals: list[int]) -> Message:
    """Ones before tens, as one adds: the carry is known by the time it is needed."""
    letters = zip(string.ascii_lowercase, totals, strict=False)
    steps = "".join(f"{letter}{total % 10}{total // 10}" for letter, total in letters)
    return Message("assistant", f"{totals[-1]:02d}", steps)
