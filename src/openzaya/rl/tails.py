"""The model's own earlier rollouts, kept as tails for aggregation prompts."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TailGroup:
    """Tails of one problem's rollouts. depth 0: from plain prompts, d: after d aggregations."""

    task: str
    index: int
    tails: tuple[str, ...]
    depth: int
    difficulty: int = 0


class TailBuffer:
    """A capped queue; the oldest group leaves first."""

    def __init__(self, capacity: int) -> None:
        self.groups: deque[TailGroup] = deque(maxlen=capacity)

    def add(self, group: TailGroup) -> None:
        self.groups.append(group)

    def draw(self, rng: random.Random) -> TailGroup | None:
        return rng.choice(self.groups) if self.groups else None

    def state_dict(self) -> list[list[Any]]:
        return [[g.task, g.index, list(g.tails), g.depth, g.difficulty] for g in self.groups]

    def load_state_dict(self, state: list[list[Any]]) -> None:
        self.groups.clear()
        for task, index, tails, *rest in state:
            self.groups.append(TailGroup(task, index, tuple(tails), *rest))
