"""Three reasoning-gym tasks with worked solutions of ours: their generator and their scorer.

They neither hang nor evaluate text, so they run in this process; the demo learns them.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from openzaya.answers import final_answer
from openzaya.envs.base import fingerprint
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

# A problem is drawn again where it falls outside a solver's domain; this bounds the search.
_ATTEMPTS = 64
LONGEST = 10_000
"""Characters of an answer that are looked at."""


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


class WorkedReasoningGymTask:
    """The scorer is theirs; only a full score counts as correct, because it gives parts to junk.

    `params` win over the task's curriculum at the difficulty asked for.
    """

    source = "reasoning-gym"
    licence = "Apache-2.0"

    def __init__(self, task: str, params: Mapping[str, Any]) -> None:
        from reasoning_gym.factory import create_curriculum

        self.name, self.params = task, dict(params)
        self.version = version("reasoning-gym")
        self._solve, self._accepts = SOLVERS[task]
        self._curriculum = create_curriculum(task)
        levels = [len(a.levels) for a in self._curriculum.attributes.values()]
        self.max_difficulty = max(levels) - 1
        self._dataset = functools.lru_cache(maxsize=64)(self._create)
        self.family = self._dataset(0).category

    def _create(self, difficulty: int) -> Any:
        from reasoning_gym.factory import create_dataset

        self._curriculum.set_global_level(difficulty)
        config = vars(self._curriculum.generate_configuration())
        config |= self.params | {"seed": 0, "size": 2**62}
        try:
            return create_dataset(self.name, **config)
        except (TypeError, AssertionError, ValueError) as error:
            raise EnvError(
                f"{self.name}: reasoning-gym refuses these params: {error}",
                f"see the fields of reasoning_gym's {self.name} configuration",
            ) from error

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        level = min(difficulty, self.max_difficulty)
        dataset = self._dataset(level)
        for attempt in range(_ATTEMPTS):
            entry = dataset[seed * _ATTEMPTS + attempt]
            if self._accepts(entry["answer"]):
                prompt = entry["question"].strip()
                return Problem(self.name, seed, prompt, entry, fingerprint(prompt), level)
        raise EnvError(f"{self.name}: no solvable problem near seed {seed}", "loosen its params")

    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer is None or not answer:
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        said, marked = final_answer(answer)
        said = said if marked else answer
        if self.name == "spell_backward":  # theirs adds up 1/n for n letters, at times above 1
            credit = float(said.lower() == problem.private["answer"].lower())
        else:
            credit = float(self._dataset(0).score_answer(said[:LONGEST], dict(problem.private)))
        if credit >= 1.0:
            return Score(1.0, Outcome.CORRECT)
        return Score(0.0, Outcome.WRONG, reason=f"the scorer gives {credit:.2f} of 1")

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
