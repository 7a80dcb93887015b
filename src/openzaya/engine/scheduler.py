"""Which sequences a step works on: decoding ones first, then prefill in order of arrival.

A sequence that needs a block when none is left makes the youngest one give its blocks back: that
one waits at the front of the queue and is prefilled again later, prompt and completion together.
Since results do not depend on how a sequence was cut, nothing is lost but time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from openzaya.engine.blocks import BlockManager, digest
from openzaya.engine.sequence import Sequence
from openzaya.kernels.network import BLOCK


class Slots:
    """What a decode step needs of each running sequence, by slot: gathered all at once."""

    def __init__(self, count: int, blocks: int) -> None:
        """`blocks`: of the longest sequence."""
        self.free = list(range(count))[::-1]
        self.sequence: list[Sequence | None] = [None] * count
        self.table = np.zeros((count, blocks), dtype=np.int32)
        self.past = np.zeros(count, dtype=np.int64)
        self.last = np.zeros(count, dtype=np.int64)  # the token to feed
        self.drawn = np.zeros(count, dtype=np.int64)  # tokens generated
        self.limit = np.zeros(count, dtype=np.int64)
        self.seed = np.zeros(count, dtype=np.int64)
        self.temperature = np.zeros(count, dtype=np.float32)
        self.top_p = np.zeros(count, dtype=np.float32)
        self.min_p = np.zeros(count, dtype=np.float32)
        self.top_k = np.zeros(count, dtype=np.int64)

    def give(self, s: Sequence) -> None:
        s.slot = self.free.pop()
        i, p = s.slot, s.params
        self.sequence[i] = s
        self.table[i, : len(s.blocks)] = s.blocks
        self.drawn[i], self.limit[i], self.seed[i] = len(s.tokens), p.max_tokens, p.seed
        self.temperature[i], self.top_p[i] = p.temperature, p.top_p
        self.min_p[i], self.top_k[i] = p.min_p, p.top_k

    def take_back(self, s: Sequence) -> None:
        self.sequence[s.slot] = None
        self.free.append(s.slot)
        s.slot = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """One step's work."""

    decode_B: np.ndarray  # slots
    prefill: list[tuple[Sequence, int]]  # and the tokens to feed

    @property
    def tokens(self) -> int:
        return len(self.decode_B) + sum(n for _, n in self.prefill)


class Scheduler:
    """`max_tokens`: fed in one step at most."""

    def __init__(self, blocks: int, sequences: int, longest: int, max_tokens: int) -> None:
        self.blocks = BlockManager(blocks)
        self.slots = Slots(sequences, -(-longest // BLOCK))
        self.waiting: deque[Sequence] = deque()
        self.filling: list[Sequence] = []  # in order of arrival
        self.decoding: list[int] = []  # slots, oldest first
        self.restores: list[tuple[int, int]] = []  # (slot, block whose edge it goes on from)
        self.max_tokens = max_tokens
        self.preempted = 0

    @property
    def running(self) -> int:
        return len(self.filling) + len(self.decoding)

    @property
    def queued(self) -> int:
        """Sequences that wait, siblings included."""
        return sum(1 + len(s.siblings) for s in list(self.waiting))

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.filling or self.decoding)

    def plan(self, admit: bool = True) -> Plan:
        """`admit` False starts no waiting sequence."""
        self._grow()
        while admit and self.waiting and self._admit(self.waiting[0]):
            self.waiting.popleft()
        room = self.max_tokens - len(self.decoding)
        prefill = []
        for s in self.filling:
            if room <= 0:
                break
            count = min(room, len(s) - s.computed)
            prefill.append((s, count))
            room -= count
        return Plan(np.array(self.decoding, dtype=np.int64), prefill)

    def _admit(self, s: Sequence) -> bool:
        """Give it a slot and all the blocks its prefill needs, if there are enough."""
        if not self.slots.free:
            return False
        matched, name = self.blocks.match(s.ids(0, len(s)))
        held = [self.blocks.share(b) for b in matched]
        fresh = -(-len(s) // BLOCK) - len(held)
        # Room for the next blocks of those that run: admitting must not drive others out at once.
        if fresh + (len(self.decoding) if self.running else 0) > self.blocks.available:
            for block in held:
                self.blocks.release(block)
            return False
        s.blocks = held + [self.blocks.take() for _ in range(fresh)]
        s.computed, s.name, s.tainted = len(held) * BLOCK, name, False
        if not s.preemptions:
            s.cached = s.computed
        self.slots.give(s)
        if held:
            self.restores.append((s.slot, held[-1]))
        self.filling.append(s)
        return True

    def _grow(self) -> None:
        """A block for every decoding sequence that begins one."""
        slots = np.array(self.decoding, dtype=np.int64)
        for slot in slots[self.slots.past[slots] % BLOCK == 0].tolist():
            s = self.slots.sequence[slot]
            if s is None:
                continue  # gave its blocks back a moment ago
            while not self.blocks.available:
                youngest = self._youngest()
                self._preempt(youngest)
                if youngest is s:
                    break
            else:
                self.slots.table[slot, len(s.blocks)] = block = self.blocks.take()
                s.blocks.append(block)

    def _youngest(self) -> Sequence:
        if self.filling:
            return self.filling[-1]
        s = self.slots.sequence[self.decoding[-1]]
        assert s is not None
        return s

    def _preempt(self, s: Sequence) -> None:
        self.leave(s)
        s.computed, s.preemptions = 0, s.preemptions + 1
        self.preempted += 1
        self.waiting.appendleft(s)

    def leave(self, s: Sequence) -> None:
        """Take a running sequence's slot and blocks back."""
        if s in self.filling:
            self.filling.remove(s)
        else:
            self.decoding.remove(s.slot)
        self.slots.take_back(s)
        for block in s.blocks:
            self.blocks.release(block)
        s.blocks = []

    def fed(self, s: Sequence, count: int) -> None:
        """`count` tokens of a prefill were computed."""
        s.computed += count
        self.commit(s, count)

    def commit(self, s: Sequence, count: int) -> None:
        """Name the blocks that its last `count` computed tokens filled."""
        first = (s.computed - count) // BLOCK
        for i in range(first, s.computed // BLOCK):
            s.name = digest(s.name, s.ids(i * BLOCK, (i + 1) * BLOCK))
            if not s.tainted:
                self.blocks.commit(s.blocks[i], s.name)

    def start_decoding(self, s: Sequence) -> None:
        """Its prefill is done and its next token drawn."""
        self.filling.remove(s)
        self.decoding.append(s.slot)
        self.slots.past[s.slot] = s.computed

    def fork(self, s: Sequence, child: Sequence) -> tuple[int, int] | None:
        """Let `child` go on from where `s` is, with shared full blocks. Returns the block to copy
        and where to (equal: none); None where there is no room, and the child waits its turn."""
        partial = s.computed % BLOCK != 0
        if not self.slots.free or self.blocks.available < partial:
            self.waiting.append(child)
            return None
        full = s.computed // BLOCK
        child.blocks = [self.blocks.share(b) for b in s.blocks[:full]]
        child.computed, child.name, child.tainted = s.computed, s.name, s.tainted
        child.cached = len(s.prompt)
        copy = (0, 0)
        if partial:
            child.blocks.append(self.blocks.take())
            copy = (s.blocks[full], child.blocks[full])
        self.slots.give(child)
        self.slots.past[child.slot] = child.computed
        self.decoding.append(child.slot)
        return copy
