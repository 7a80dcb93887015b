"""Which group is generated next, and which are trained on: no clock, no threads, no tensors.

Everything that decides lives here, so the synchronous loop, the asynchronous one and the simulator
are one program with three drivers. A driver tells what happened (`ended`, `failed`, `stepped`,
`published`) and asks what to do (`start`, `batch`); it gets the same answers at any speed.

    version   trainer steps so far               P   groups of a batch
    serving   version that the samplers have     S   largest staleness

A group is started only if, behind all that live before it, it is still trained in time: alive <
(serving + S + 1 - version) * P. With S = 0 that is: P groups, then wait; nothing is asynchronous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from openzaya.config.asynchrony import AsyncConfig

_NUMBERS = ("version", "serving", "started", "trained", "ignored", "learning", "_finished")

R = TypeVar("R")
"""A rollout, whatever the driver makes of it."""


@dataclass(slots=True)
class Group(Generic[R]):
    """G rollouts of one prompt: all of them are trained on, or none."""

    id: int
    """Place in the order of starts; seeds derive from it, so a group that is generated again is the
    same group."""
    prompt: Any
    size: int
    rollouts: dict[int, R] = field(default_factory=dict)
    oldest: int | None = None
    """Version of the oldest token of any rollout."""
    attempts: int = 1
    finished: int = -1
    """Place in the order of ends; -1 while rollouts are missing."""

    @property
    def missing(self) -> list[int]:
        return [slot for slot in range(self.size) if slot not in self.rollouts]


class Orchestrator(Generic[R]):
    """`draw(id)` makes the prompt of a new group. `judge(group)` says of a whole group whether it
    is worth training on, None, or for what reason it is dropped. `learn(group)` hears of every
    whole group once, when it leaves, in the order in which groups leave: curricula learn there.
    """

    def __init__(
        self,
        config: AsyncConfig,
        groups_per_batch: int,
        group_size: int,
        *,
        draw: Callable[[int], Any],
        judge: Callable[[Group[R]], str | None],
        learn: Callable[[Group[R]], None],
    ) -> None:
        config.check(groups_per_batch)
        self.config, self.P, self.G = config, groups_per_batch, group_size
        self._draw, self._judge, self._learn = draw, judge, learn
        self.version = self.serving = 0
        self.started = self.trained = self.learning = self._finished = 0
        """`learning`: groups of the step that is being made; they are alive until it has ended."""
        self.flying: dict[int, Group[R]] = {}
        self.ready: list[Group[R]] = []
        """Whole groups, in the order of their starts."""
        self.dropped: Counter[str] = Counter()
        """Groups that will never be trained on, by reason. started = trained + dropped + alive."""
        self.ignored = 0
        """Rollouts that came twice, or too late."""

    @property
    def alive(self) -> int:
        return len(self.flying) + len(self.ready) + self.learning

    @property
    def room(self) -> int:
        """Groups that may be started now."""
        in_time = (self.serving + self.config.max_staleness + 1 - self.version) * self.P
        return max(0, in_time - self.alive)

    def restore(self, group_id: int, prompt: Any, slot: int, rollout: R) -> None:
        """A rollout that had ended after the state that was loaded was stored. Its group may have
        been started, or trained on, since then; the trainer knows nothing of that any more, so the
        tokens count as its present version's at most."""
        while self.started <= group_id:
            missing = Group[R](self.started, None, self.G)
            self.flying[missing.id] = missing
            self.started += 1
        if (group := self.flying.get(group_id)) is not None:
            group.prompt = prompt
            group.rollouts[slot] = rollout

    def restored(self, oldest: Callable[[R], int]) -> None:
        """After the last `restore`: groups that are whole are ready, however many they are."""
        for group in list(self.flying.values()):
            if group.prompt is None:
                group.prompt = self._draw(group.id)
            if group.rollouts:
                group.oldest = min(self.version, *map(oldest, group.rollouts.values()))
            if not group.missing:
                del self.flying[group.id]
                group.finished, self._finished = self._finished, self._finished + 1
                self.ready.append(group)

    def start(self) -> Group[R] | None:
        """A new group to generate; None where it could not be trained in time."""
        if not self.room:
            return None
        group = Group[R](self.started, self._draw(self.started), self.G)
        self.started += 1
        self.flying[group.id] = group
        return group

    def ended(self, group_id: int, slot: int, rollout: R, oldest: int) -> None:
        """A rollout is whole; `oldest` is the version of its oldest token. One that comes twice, or
        for a group that was dropped, is not counted twice."""
        group = self.flying.get(group_id)
        if group is None or slot in group.rollouts:
            self.ignored += 1
            return
        assert oldest <= self.serving, f"a token of version {oldest}, which was never served"
        group.rollouts[slot] = rollout
        group.oldest = oldest if group.oldest is None else min(group.oldest, oldest)
        if group.missing:
            return
        del self.flying[group_id]
        group.finished, self._finished = self._finished, self._finished + 1
        reason = self._judge(group) if self.config.refill else None
        if reason is not None:
            self._drop(group, reason)
            return
        self.ready.append(group)
        self.ready.sort(key=lambda g: g.id)
        while len(self.ready) > self.capacity:
            self._drop(self.ready.pop(0), "evicted")

    def failed(self, group_id: int, why: str) -> bool:
        """Missing rollouts of it will not come. True: generate them again; False: it is dropped."""
        group = self.flying.get(group_id)
        if group is None:
            return False
        if group.attempts >= self.config.attempts:
            del self.flying[group_id]
            self.dropped[f"failed: {why}"] += 1
            return False
        group.attempts += 1
        return True

    def batch(self) -> list[Group[R]] | None:
        """P groups to train on now; None while too few are ready. What is too old is dropped."""
        for group in [g for g in self.ready if self.staleness(g) > self.config.max_staleness]:
            self.ready.remove(group)
            self._drop(group, "stale")
        if self.learning or not self._enough:
            return None
        chosen = self._choose()
        if chosen is None:
            return None
        for group in chosen:
            self.ready.remove(group)
            self._learn(group)
        self.learning = len(chosen)
        return chosen

    @property
    def _enough(self) -> bool:
        return len(self.ready) >= self.config.ready_batches * self.P

    def _choose(self) -> list[Group[R]] | None:
        """By start: the P oldest, and whoever is slow is waited for. By end: the P first that
        finished, which prefers short ones. A window is between: the first ones to finish, but no
        younger than W places behind the oldest that is still alive."""
        order = self.config.order
        if order == "finished":
            return sorted(self.ready, key=lambda g: g.finished)[: self.P]
        alive = sorted((*self.flying.values(), *self.ready), key=lambda g: g.id)
        width = self.P if order == "started" else self.P + self.config.window(self.P)
        chosen = [g for g in alive[:width] if g.finished >= 0][: self.P]
        return chosen if len(chosen) == self.P else None

    def staleness(self, group: Group[R]) -> int:
        assert group.oldest is not None
        return self.version - group.oldest

    @property
    def capacity(self) -> int:
        """Whole groups that are kept."""
        return self.config.buffer or (self.config.max_staleness + 1) * self.P

    def stepped(self) -> bool:
        """The trainer has made a step. True: the samplers should get these weights now."""
        assert self.learning
        self.trained, self.learning = self.trained + self.learning, 0
        self.version += 1
        return self.version % self.config.sync_every == 0

    def published(self) -> None:
        """The samplers have the trainer's weights."""
        self.serving = self.version

    def stuck(self) -> bool:
        """Nothing flies, nothing may start, no batch is ready and no weights are on their way:
        cannot be, of a config that `check` lets through."""
        due = self.version - self.version % self.config.sync_every
        return self.serving == due and not (
            self.flying or self.learning or self.room or self._enough
        )

    def _drop(self, group: Group[R], reason: str) -> None:
        self.dropped[reason] += 1
        self._learn(group)

    def state_dict(self) -> dict[str, Any]:
        """All of it; prompts and rollouts as the driver made them."""

        def plain(g: Group[R]) -> dict[str, Any]:
            return {name: getattr(g, name) for name in Group.__slots__}  # type: ignore[attr-defined]

        return {
            **{name: getattr(self, name) for name in _NUMBERS},
            "flying": [plain(g) for g in self.flying.values()],
            "ready": [plain(g) for g in self.ready],
            "dropped": dict(self.dropped),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Groups in flight keep the rollouts that had ended; the driver generates the missing."""
        for name in _NUMBERS:
            setattr(self, name, state[name])
        self.flying = {g["id"]: Group(**g) for g in state["flying"]}
        self.ready = [Group(**g) for g in state["ready"]]
        self.dropped = Counter(state["dropped"])
