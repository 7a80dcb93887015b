"""Enigmata (BytedTsinghua-SIA/Enigmata, Apache-2.0): its puzzles that can be generated, as
`enigmata:NAME`, with easy, medium and hard as difficulty 0, 1 and 2."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from openzaya.envs.adapters.checkout import Checkout
from openzaya.envs.foreign import LONGEST_ANSWER, ForeignEnvironment
from openzaya.envs.workers import WorkerPool
from openzaya.errors import EnvError
from openzaya.types import Message, Outcome, Problem, Score

CHECKOUT = Checkout(
    "Enigmata",
    "https://github.com/BytedTsinghua-SIA/Enigmata",
    "OPENZAYA_ENIGMATA_PATH",
    "verifiable_tasks/tasks",
)
PREFIX = "enigmata:"


@functools.cache
def _pool(path: str) -> WorkerPool:
    return WorkerPool("openzaya.envs.adapters.enigmata_served", {"path": path})


def _folder(task: str) -> Path:
    return Path(CHECKOUT.path()) / CHECKOUT.marker / task


def names() -> list[str]:
    """The tasks with a generator; the others judge published problems only."""
    found = sorted((Path(CHECKOUT.path()) / CHECKOUT.marker).glob("*/generator.py"))
    return [PREFIX + file.parent.name for file in found]


def maker(name: str) -> Callable[[Mapping[str, Any]], EnigmataTask]:
    return functools.partial(EnigmataTask, name)


class EnigmataTask(ForeignEnvironment):
    family = "enigmata"
    source = "Enigmata"
    licence = "Apache-2.0"

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        if params:
            raise EnvError(f"{name} takes no params", "its difficulty sets them")
        self.name = name
        self._task, self._pool = name.removeprefix(PREFIX), _pool(CHECKOUT.path())
        levels = self._pool.call("levels", timeout=60.0, task=self._task)
        self.max_difficulty = len(levels) - 1
        files = sorted(_folder(self._task).glob("*.py"))
        data = b"".join(file.read_bytes() for file in files)
        self.version = hashlib.blake2b(data, digest_size=6).hexdigest()

    @property
    def pool(self) -> WorkerPool:
        return self._pool

    def task(self, difficulty: int) -> dict[str, Any]:
        return {"task": self._task, "difficulty": difficulty}

    def score(self, problem: Problem, answer: str | None) -> Score:
        """Their prompts ask for a code block, which their verifiers find by themselves."""
        if answer is None or not answer.strip():
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        if len(answer) > LONGEST_ANSWER:
            return Score(0.0, Outcome.UNPARSEABLE, False, f"{len(answer)} characters")
        marked = "```" in answer
        return self.asked(problem, answer, marked)

    def oracle(self, problem: Problem) -> Message | None:
        answer = problem.private.get("solution")
        return None if answer is None else Message("assistant", answer)
