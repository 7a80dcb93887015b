"""Whose turn it is, and how hard: one scheduler per run, its whole state in the checkpoint."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openzaya.config.curriculum import CurriculumConfig


@dataclass(slots=True)
class Level:
    """What is known of one environment."""

    difficulty: int
    """The current one; with RLVE's scheduler the highest of the window."""
    drawn: int = 0
    """Groups drawn from it so far."""
    trials: int = 0
    successes: int = 0
    """At `difficulty`, since it last changed or was judged (RLVE's scheduler)."""


class Curriculum:
    """`start` is the first difficulty of each environment, `highest` its largest one (None: none).

    A group's results may come late, in any order, or never; a result counts for the difficulty
    that its problem had, not for the one in force when it comes.
    """

    def __init__(
        self,
        config: CurriculumConfig,
        start: Mapping[str, int],
        highest: Mapping[str, int | None],
        weights: Mapping[str, float],
    ) -> None:
        self.config, self.highest, self.weights = config, dict(highest), dict(weights)
        self.levels = {name: Level(difficulty) for name, difficulty in start.items()}

    def draw(self, rng: random.Random) -> tuple[str, int]:
        """(environment, difficulty) of the next group.

        The least-sampled environment is the likeliest (report): weights fall as 1 / (1 + drawn),
        our reading. `fixed` draws by the tasks' own weights.
        """
        names = list(self.levels)
        if self.config.kind == "fixed":
            weights = [self.weights[name] for name in names]
        else:
            weights = [self.weights[name] / (1 + self.levels[name].drawn) for name in names]
        name = rng.choices(names, weights)[0]
        level = self.levels[name]
        level.drawn += 1
        if self.config.kind == "rlve":
            return name, rng.randint(
                max(0, level.difficulty - self.config.window + 1), level.difficulty
            )
        return name, level.difficulty

    def record(self, name: str, difficulty: int, rewards: Sequence[float]) -> None:
        """Learn from a group of G rewards on a problem of `difficulty`."""
        level, config = self.levels[name], self.config
        current = difficulty == level.difficulty
        solved = sum(r == 1 for r in rewards)
        if config.kind == "zaya":
            rate = solved / len(rewards)
            if current and rate > config.raise_above:
                self._move(name, +1)
            elif rate == 0 and (current or config.lower_anywhere):
                self._move(name, -1)
        elif config.kind == "rlve" and current:
            level.trials += len(rewards)
            level.successes += solved
            if level.trials >= config.groups * len(rewards):
                reached = level.successes >= config.accuracy * level.trials
                level.trials = level.successes = 0
                if reached:
                    self._move(name, +1)

    def _move(self, name: str, by: int) -> None:
        level, most = self.levels[name], self.highest[name]
        moved = max(0, level.difficulty + by)
        level.difficulty = moved if most is None else min(moved, most)

    def begin(self, name: str, difficulty: int) -> None:
        """Where an environment starts, as its calibration found."""
        most = self.highest[name]
        self.levels[name].difficulty = difficulty if most is None else min(difficulty, most)

    def difficulties(self) -> dict[str, int]:
        return {name: level.difficulty for name, level in self.levels.items()}

    def state_dict(self) -> dict[str, Any]:
        return {name: asdict(level) for name, level in self.levels.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.levels = {name: Level(**values) for name, values in state.items()}
