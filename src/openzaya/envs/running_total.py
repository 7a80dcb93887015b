"""Our long task: a running total over lettered steps, too long to write in one budget.

Every step of the solution writes its letter and the total modulo 100, so any piece of it says
where it stands and what it knows: the shape of problem Markovian RSA exists for.
"""

from __future__ import annotations

import random
import string

from openzaya.envs.base import fingerprint
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

_HEAD = "Write the running total modulo one hundred after each lettered step:"


class RunningTotal:
    """`min_steps` .. `max_steps` (at most 26) additions and subtractions of 1 .. `max_change`."""

    name = "running_total"
    family = "arithmetic"
    source = "openzaya"
    licence = "Apache-2.0"

    def __init__(self, min_steps: int = 12, max_steps: int = 20, max_change: int = 9) -> None:
        if not 1 <= min_steps <= max_steps <= 26:
            raise EnvError(
                f"running_total: 1 <= min_steps {min_steps} <= max_steps {max_steps} <= 26 fails",
                "steps are lettered a to z",
            )
        if not 1 <= max_change <= 9:
            raise EnvError(f"running_total: max_change {max_change} is no digit from 1 to 9")
        self.min_steps, self.max_steps, self.max_change = min_steps, max_steps, max_change

    def generate(self, seed: int) -> Problem:
        rng = random.Random(f"running_total:{seed}")
        steps = rng.randint(self.min_steps, self.max_steps)
        changes = [rng.choice((-1, 1)) * rng.randint(1, self.max_change) for _ in range(steps)]
        letters = string.ascii_lowercase
        text = "".join(f"{letter}{c:+d}" for letter, c in zip(letters, changes, strict=False))
        prompt = f"{_HEAD} {text}"
        return Problem(self.name, seed, prompt, {"changes": changes}, fingerprint(prompt))

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer:
            return Score(0.0, Outcome.UNPARSEABLE)
        right = answer == f"{sum(problem.private['changes']) % 100:02d}"
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)

    def oracle(self, problem: Problem) -> Message:
        return _written(_totals(problem.private["changes"]))

    def mistake(self, problem: Problem, rng: random.Random) -> Message:
        """One step goes wrong, all later ones build on it."""
        changes = list(problem.private["changes"])
        totals = _totals(changes)
        start = rng.randrange(len(changes))
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


def _totals(changes: list[int]) -> list[int]:
    total, totals = 0, []
    for change in changes:
        total = (total + change) % 100
        totals.append(total)
    return totals


def _written(totals: list[int]) -> Message:
    """Ones before tens, as one adds: the carry is known by the time it is needed."""
    letters = zip(string.ascii_lowercase, totals, strict=False)
    steps = "".join(f"{letter}{total % 10}{total // 10}" for letter, total in letters)
    return Message("assistant", f"{totals[-1]:02d}", steps)
