"""What is asked next: a fresh problem, or an aggregation of the model's own earlier tails."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from openzaya.config.rl import RLConfig
from openzaya.envs import Problems
from openzaya.rl.curriculum import Curriculum
from openzaya.rl.tails import TailBuffer, TailGroup
from openzaya.ttc.prompts import aggregation_messages
from openzaya.types import Environment, Message, Problem


@dataclass(frozen=True, slots=True)
class Prompt:
    """One group's prompt: plain values, from which problem and messages follow. depth 0 is the
    plain problem; otherwise `tails` are shown, which were written at depth - 1."""

    task: str
    index: int
    difficulty: int
    depth: int = 0
    tails: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"tails": list(self.tails)}

    @classmethod
    def of(cls, table: dict[str, Any]) -> Prompt:
        return cls(**{**table, "tails": tuple(table["tails"])})


class Prompts:
    """Draws prompts and keeps what they are drawn from: curriculum and own tails."""

    def __init__(
        self, config: RLConfig, envs: Mapping[str, Environment], difficulties: Mapping[str, int]
    ) -> None:
        self.config = config
        self.problems = {name: Problems(env, "train") for name, env in envs.items()}
        self.buffer = TailBuffer(config.tail_buffer)
        self.stored: dict[str, dict[str, list[TailGroup]]] = {}
        """Tails drawn before the stage, by source and task."""
        self.kept: dict[str, list[int]] = {}
        """Problems that a filter has left, of the tasks that have one."""
        self.curriculum = Curriculum(
            config.curriculum,
            difficulties,
            {name: getattr(env, "max_difficulty", None) for name, env in envs.items()},
            {name: task.weight for name, task in config.tasks.items()},
        )

    def draw(self, group: int) -> Prompt:
        """The prompt of group number `group`: a function of it, the curriculum and the tails."""
        config = self.config
        rng = random.Random(f"rl:{config.seed}:{group}")
        earlier = self._earlier(rng) if rng.random() < config.aggregation_share else None
        if earlier is None:
            task, difficulty = self.curriculum.draw(rng)
            return Prompt(task, self.index(task, rng), difficulty)
        tails = rng.sample(earlier.tails, min(config.think.candidates, len(earlier.tails)))
        return Prompt(
            earlier.task, earlier.index, earlier.difficulty, earlier.depth + 1, tuple(tails)
        )

    def index(self, task: str, rng: random.Random) -> int:
        """The number of a problem to train on."""
        kept = self.kept.get(task)
        return rng.getrandbits(40) if kept is None else rng.choice(kept)

    def keep(self, task: str, indices: list[int]) -> None:
        """From now on only these problems of `task` are drawn."""
        self.kept[task] = sorted(indices)

    def store(self, source: str, groups: list[TailGroup]) -> None:
        """Tails of `source`, "start" or "expert", for aggregation prompts."""
        by_task = self.stored.setdefault(source, {})
        for group in groups:
            by_task.setdefault(group.task, []).append(group)

    def _earlier(self, rng: random.Random) -> TailGroup | None:
        """Tails to aggregate: of a source by weight, then of a task by weight."""
        tails = self.config.tails
        weights = {"own": tails.own, "start": tails.start, "expert": tails.expert}
        weights = {source: weight for source, weight in weights.items() if weight}
        source = next(iter(weights))
        if len(weights) > 1:
            (source,) = rng.choices(list(weights), list(weights.values()))
        if source == "own":
            return self.buffer.draw(rng)
        by_task = self.stored[source]
        (task,) = rng.choices(list(by_task), [tails.tasks.get(name, 1.0) for name in by_task])
        return rng.choice(by_task[task])

    def problem(self, prompt: Prompt) -> Problem:
        return self.problems[prompt.task].draw(prompt.index, prompt.difficulty)

    def messages(self, prompt: Prompt) -> tuple[Message, ...]:
        user = (Message("user", self.problem(prompt).prompt),)
        if not prompt.depth:
            return user
        return aggregation_messages(user, prompt.tails, self.config.think.template)

    def learn(self, prompt: Prompt, rewards: list[float], tails: list[str]) -> None:
        """A whole group: its plain problem moves the curriculum, its tails may be shown later."""
        if not prompt.depth:
            self.curriculum.record(prompt.task, prompt.difficulty, rewards)
        if prompt.depth < self.config.max_depth:
            self.buffer.add(
                TailGroup(prompt.task, prompt.index, tuple(tails), prompt.depth, prompt.difficulty)
            )

    def state_dict(self) -> dict[str, Any]:
        return {"curriculum": self.curriculum.state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curriculum.load_state_dict(state["curriculum"])
        self.buffer.load_state_dict(state["buffer"])
