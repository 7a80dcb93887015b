"""reasoning-gym's tasks: their generator and their scorer, our worked solutions."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import reasoning_gym

from openzaya.envs.base import fingerprint
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

# A problem is drawn again where it falls outside a solver's domain; this bounds the search.
_ATTEMPTS = 64


def _columns(answer: str, metadata: Mapping[str, Any]) -> str:
    """As one adds by hand: from the right, each column's two digits and the digit of the result.
    A decimal point stands alone; a last carry has no digits above it."""
    terms = re.findall(r"[\d.]+", metadata["expression"])
    places = max(len(t.partition(".")[2]) for t in terms)
    texts = [f"{Decimal(t):.{places}f}" for t in (*terms, answer)]
    width = max(map(len, texts[:-1]))
    *operands, result = [t.zfill(width)[::-1] for t in texts]
    columns = [
        "." if digits[-1] == "." else "".join(digits)
        for digits in zip(*operands, result[:width], strict=True)
    ]
    return "".join(columns) + result[width:]


def _spelled(answer: str, metadata: Mapping[str, Any]) -> str:
    return answer


def _not_negative(answer: str) -> bool:
    return not answer.startswith("-")


def _plain_word(answer: str) -> bool:
    """No names, apostrophes or accents: a tiny vocabulary has lower-case letters only."""
    return answer.isascii() and answer.isalpha() and answer.islower()


SOLVERS: dict[str, tuple[Callable[[str, Mapping[str, Any]], str], Callable[[str], bool]]] = {
    "chain_sum": (_columns, _not_negative),
    "decimal_chain_sum": (_columns, _not_negative),
    "spell_backward": (_spelled, _plain_word),
}
"""Task to (reasoning of the solution, domain of the solver)."""


class ReasoningGymEnvironment:
    """One reasoning-gym task. The scorer is theirs; only a full score counts as correct, because
    some of their scorers give partial credit to junk."""

    family = "reasoning-gym"
    source = "reasoning-gym (PyPI)"
    licence = "Apache-2.0"

    def __init__(self, task: str, params: Mapping[str, Any]) -> None:
        self.name = task
        self._solve, self._accepts = SOLVERS[task]
        try:
            self._dataset = reasoning_gym.create_dataset(task, size=2**62, seed=0, **params)
        except (TypeError, AssertionError, ValueError) as error:
            raise EnvError(
                f"{task}: reasoning-gym refuses these params: {error}",
                f"see the fields of reasoning_gym's {task} configuration",
            ) from error

    def generate(self, seed: int) -> Problem:
        for attempt in range(_ATTEMPTS):
            entry = self._dataset[seed * _ATTEMPTS + attempt]
            if self._accepts(entry["answer"]):
                prompt = entry["question"].strip()
                return Problem(self.name, seed, prompt, entry, fingerprint(prompt))
        raise EnvError(f"{self.name}: no solvable problem near seed {seed}", "loosen its params")

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer:
            return Score(0.0, Outcome.UNPARSEABLE)
        reward = float(self._dataset.score_answer(answer, dict(problem.private)))
        return Score(reward, Outcome.CORRECT if reward >= 1.0 else Outcome.WRONG)

    def oracle(self, problem: Problem) -> Message:
        answer = problem.private["answer"]
        return Message("assistant", answer, self._solve(answer, problem.private["metadata"]))

    def mistake(self, problem: Problem, rng: random.Random) -> Message:
        """One or two characters of the answer replaced by others of their kind, from the
        reasoning through to the answer."""
        truth = self.oracle(problem)
        answer = list(truth.content)
        places = [i for i, c in enumerate(answer) if c.isalnum()]
        for i in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
            kind = "0123456789" if answer[i].isdigit() else "abcdefghijklmnopqrstuvwxyz"
            answer[i] = rng.choice([c for c in kind if c != answer[i]])
        wrong = "".join(answer)
        return Message("assistant", wrong, self._solve(wrong, problem.private["metadata"]))

    def resume(self, problem: Problem, written: int) -> Message:
        return self.oracle(problem)
