"""Who has ended, who failed, and who may start: the rounds of a run without any clock.

A slot of round t waits for the tails that its own seed draws, and for nothing else. One that
failed is stood in for by the next spare of that slot, so that what a prompt shows depends on
which rollouts failed, and never on which was faster.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.draws import drawn, spares
from openzaya.ttc.population import Candidate

Start = tuple[int, int, tuple[int, ...]]
"""(round, slot, parents)."""


class Board:
    """`ready` is a heap of what may start, the earliest round first."""

    def __init__(self, config: RSAConfig, run_id: str, hold: bool) -> None:
        """`hold`: a round begins when the one before it has ended as a whole."""
        rounds = range(config.rounds + 1)
        self.table: list[list[Candidate | None]] = [[None] * config.width(t) for t in rounds]
        self.failed: list[set[int]] = [set() for _ in rounds]
        self.open = [config.width(t) for t in rounds]
        """Slots of each round that have neither ended nor failed."""
        self.ready: list[Start] = []
        self._config, self._run_id, self._hold = config, run_id, hold
        self._waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._draws: dict[tuple[int, int], list[int]] = {}
        self._planned = False
        self._shown = [config.shown(t) for t in rounds]

    def begin(self) -> None:
        """Round 0 may start."""
        for slot in range(self._config.width(0)):
            if not self.settled(0, slot):
                heapq.heappush(self.ready, (0, slot, ()))

    def plan(self) -> None:
        """Draw for all later rounds, and let start what can (in a run that goes on, anything)."""
        self._planned = True
        for t in range(1, len(self.table)):
            for slot in range(len(self.table[t])):
                self._draws[t, slot] = drawn(self._config, self._run_id, t, slot)
                if not self._hold:
                    self._seek(t, slot)
            if self._hold and self.open[t - 1] == 0:
                self._open_round(t)

    def settle(self, round_: int, slot: int, candidate: Candidate | None) -> None:
        """A rollout has ended, or failed for good (None)."""
        self.restore(round_, slot, candidate)
        if round_ + 1 == len(self.table) or not self._planned:
            return
        if self._hold:
            if self.open[round_] == 0:
                self._open_round(round_ + 1)
            return
        for waiting in self._waiting.pop((round_, slot), ()):
            self._seek(round_ + 1, waiting)

    def restore(self, round_: int, slot: int, candidate: Candidate | None) -> None:
        """The same before `begin`: nothing starts by it."""
        assert not self.settled(round_, slot), f"{round_}.{slot} ended twice"
        if candidate is None:
            self.failed[round_].add(slot)
        else:
            self.table[round_][slot] = candidate
        self.open[round_] -= 1

    def settled(self, round_: int, slot: int) -> bool:
        return self.table[round_][slot] is not None or slot in self.failed[round_]

    def _open_round(self, round_: int) -> None:
        for slot in range(len(self.table[round_])):
            self._seek(round_, slot)

    def _seek(self, round_: int, slot: int) -> None:
        """Ready, if all its parents are known; else it waits for the first one that is not."""
        if self.settled(round_, slot):
            return
        parents: list[int] = []
        for parent in self._order(round_, slot):
            if parent in self.failed[round_ - 1]:
                continue
            if self.table[round_ - 1][parent] is None:
                self._waiting[round_ - 1, parent].append(slot)
                return
            parents.append(parent)
            if len(parents) == self._shown[round_]:
                break
        if parents:  # else all have failed, and the run ends
            shown = parents if self._config.order == "drawn" else sorted(parents)
            heapq.heappush(self.ready, (round_, slot, tuple(shown)))

    def _order(self, round_: int, slot: int) -> Iterator[int]:
        yield from self._draws[round_, slot]
        yield from spares(self._config, self._run_id, round_, slot)
