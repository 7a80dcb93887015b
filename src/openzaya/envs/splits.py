"""Train, validation and test problems, disjoint by construction."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar, get_args

from openzaya.envs.base import GenerationFailed
from openzaya.errors import EnvError
from openzaya.types import Environment, Problem

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MOST_FAILED = 10
"""Generators of others fail or hang for some seeds; one that fails for so many is broken."""
E = TypeVar("E", bound=Environment, covariant=True)


def split_of(fingerprint: str) -> Split:
    """10% test, 10% dev, the rest train, decided by the problem's own text: no seed, no generator
    change and no duplicate can move a problem from one split into another."""
    bucket = int(fingerprint, 16) % 20
    return "test" if bucket < 2 else "dev" if bucket < 4 else "train"


class Problems(Generic[E]):
    """The problems of one environment that belong to one split."""

    def __init__(self, env: E, split: Split, difficulty: int = 0) -> None:
        self.env = env
        self.split = split
        self.difficulty = difficulty
        self.failed = 0
        """Seeds whose problem could not be made, and was replaced by the next one's."""

    def draw(self, index: int, difficulty: int | None = None) -> Problem:
        """Problem number `index`, a pure function; different indices may repeat a problem."""
        level = self.difficulty if difficulty is None else difficulty
        failed = 0
        for attempt in range(1000):
            try:
                problem = self.env.generate(index * 1000 + attempt, level)
            except GenerationFailed:
                self.failed += 1
                failed += 1
                if failed == MOST_FAILED:
                    raise
                continue
            if split_of(problem.fingerprint) == self.split:
                return problem
        raise EnvError(
            f"{self.env.name}: 1000 seeds gave no {self.split} problem",
            "widen the task's params: it has too few distinct problems",
        )

    def distinct(self, count: int, at_most: bool = False) -> list[Problem]:
        """The first `count` different problems, for evaluation; with `at_most`, fewer where there
        are no more, but one at least: the lowest difficulties of a curriculum have few."""
        found: dict[str, Problem] = {}
        for index in range(50 * count):
            problem = self.draw(index)
            found.setdefault(problem.fingerprint, problem)
            if len(found) == count:
                return list(found.values())
        if at_most and found:
            return list(found.values())
        raise EnvError(
            f"{self.env.name}: only {len(found)} different {self.split} problems, {count} wanted",
            "widen the task's params or evaluate on fewer problems",
        )
