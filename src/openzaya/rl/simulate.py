"""The asynchronous loop on simulated time: what a recipe will do, before anyone rents a GPU.

The orchestrator is the real one; samplers, trainer and weights are counted. A rollout's length is a
function of (seed, group, slot, attempt), so a run is a function of its config. A sampler with n
sequences makes a token of each in `step_seconds + (n - 1) * sequence_seconds`; between two events
nothing else changes, so time jumps from event to event.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openzaya.config.asynchrony import AsyncConfig
from openzaya.config.simulate import SimulateConfig
from openzaya.rl.orchestrator import Group, Orchestrator
from openzaya.rl.tabular import draw, log_probabilities, table
from openzaya.ttc.draws import derived_seed


@dataclass(slots=True)
class Flight:
    """A rollout on its way. `length` is inf for one that hangs."""

    group: int
    slot: int
    attempt: int
    length: float
    began: float
    mark: float
    """Its machine's progress when it began."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One complete snapshot. `logits_V` is the machine's own copy, empty where nothing is drawn."""

    since: float
    version: int
    logits_V: np.ndarray


@dataclass(slots=True)
class Machine:
    """A sampler. Its sequences advance together: `progress` counts the tokens that each of them
    would have, had it been there from the first moment on."""

    progress: float = 0.0
    since: float = 0.0
    """When `progress` was reckoned last."""
    flights: dict[tuple[int, int], Flight] = field(default_factory=dict)
    """By (group, slot), in the order of their beginning."""
    ends: list[tuple[float, tuple[int, int]]] = field(default_factory=list)
    """A heap: the progress at which each ends."""
    weights: list[Weights] = field(default_factory=list)
    """What was loaded, and at which progress."""
    up: bool = True
    epoch: int = 0
    """Counts changes: an event that was planned before the last one no longer holds."""
    crashes: int = 0
    used: float = 0.0
    """Slot-seconds that decoded something."""

    def segments(self, f: Flight, end: float) -> list[list[int]]:
        """[version, tokens] of what it drew up to the progress `end`, in order."""
        found: list[list[int]] = []
        following = [*(w.since for w in self.weights[1:]), math.inf]
        for w, until in zip(self.weights, following, strict=True):
            low, high = (math.floor(min(x, end) - f.mark + 1e-6) for x in (w.since, until))
            if (count := high - max(0, low)) > 0:
                found.append([w.version, count])
        return found

    def copy_of(self, version: int) -> np.ndarray:
        """The logits that it drew `version`'s tokens from."""
        return next(w.logits_V for w in self.weights if w.version == version)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A rollout that has ended: [version, tokens] in order, and, where the policy is known, the
    tokens with the log-probabilities they were drawn with."""

    segments: list[list[int]]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


Event = tuple[float, int, str, int, int]  # time, order, kind, machine, epoch


class Simulation:
    """Step it event by event, or `run` it to its end. A copy of it is a checkpoint of the world."""

    def __init__(
        self, config: SimulateConfig, watch: Callable[[Simulation, str], None] | None = None
    ):
        self.config, self._watch = config, watch
        self.orchestrator: Orchestrator[Drawn] = Orchestrator(
            config.asynchrony, config.groups_per_batch, config.group_size,
            draw=lambda _: None, judge=self._judge, learn=lambda _: None,
        )  # fmt: skip
        self.machines = [Machine() for _ in range(config.samplers)]
        self.waiting: list[tuple[int, int, int]] = []
        """(group, slot, attempt) without a machine."""
        self.now = 0.0
        self.training: list[Group[Drawn]] | None = None
        self.idle_since: float | None = 0.0
        self.idle = 0.0
        self.trained_tokens = self.lost_tokens = 0
        self.staleness: Counter[int] = Counter()
        self._events: list[Event] = []
        self._order = 0
        self.log_hash, self.log_length = "", 0
        """Of every event so far: equal logs are equal runs."""
        for i, machine in enumerate(self.machines):
            machine.weights = [self._snapshot(machine)]
            self._plan_crash(i)
        self._refill()

    # -- the world ------------------------------------------------------------------------------

    def run(self) -> Simulation:
        while self.step():
            pass
        return self

    def step(self) -> bool:
        """One event; False when the trainer has made its steps."""
        if self.orchestrator.version >= self.config.steps:
            return False
        assert self._events, "a deadlock: nothing will ever happen again"
        self.now, _, kind, i, epoch = heapq.heappop(self._events)
        if epoch >= 0 and epoch != self.machines[i].epoch:
            return True  # overtaken by another event
        getattr(self, f"_{kind}")(i)
        self._refill()
        self._take()
        self._note(kind, i)
        return True

    def _token(self, i: int) -> None:
        """Some rollout of machine i may have ended."""
        machine = self.machines[i]
        self._settle(machine)
        while machine.ends and machine.ends[0][0] <= machine.progress + 1e-6:
            end, key = heapq.heappop(machine.ends)
            f = machine.flights.pop(key)
            drawn = self._draw(machine, f, end)
            self.orchestrator.ended(f.group, f.slot, drawn, drawn.segments[0][0])
        late = []
        while (f := next(iter(machine.flights.values()), None)) is not None and (
            self.now - f.began >= self.config.timeout_seconds - 1e-6
        ):
            late.append(f)
            del machine.flights[f.group, f.slot]
        if late:
            machine.ends = [e for e in machine.ends if e[1] in machine.flights]
            heapq.heapify(machine.ends)
            self._again(machine, late, "timeout")
        self._changed(i)

    def _crash(self, i: int) -> None:
        machine = self.machines[i]
        self._settle(machine)
        lost, machine.up = list(machine.flights.values()), False
        machine.flights.clear()
        machine.ends.clear()
        machine.crashes += 1
        self._again(machine, lost, "crash")
        self._changed(i)
        self._push(self.now + self.config.restart_seconds, "restart", i)

    def _restart(self, i: int) -> None:
        machine = self.machines[i]
        machine.up, machine.since = True, self.now
        machine.weights = [self._snapshot(machine)]
        self._changed(i)
        self._plan_crash(i)

    def _trained(self, _: int) -> None:
        assert self.training is not None
        self.training, self.idle_since = None, self.now
        if self.orchestrator.stepped():
            self._push(self.now + self.config.publish_seconds, "published", 0)

    def _published(self, _: int) -> None:
        """All samplers at once, between two tokens; they go on with what they have."""
        self.orchestrator.published()
        for machine in self.machines:
            if machine.up:
                self._settle(machine)
                oldest = min((f.mark for f in machine.flights.values()), default=machine.progress)
                while len(machine.weights) > 1 and machine.weights[1].since <= oldest:
                    machine.weights.pop(0)
                machine.weights.append(self._snapshot(machine))

    # -- what moves it --------------------------------------------------------------------------

    def _refill(self) -> None:
        """Start what may be started, and give it to the machines with most room."""
        while (group := self.orchestrator.start()) is not None:
            self.waiting += [(group.id, slot, 0) for slot in range(group.size)]
        touched: set[int] = set()
        while self.waiting:
            free = [
                i
                for i, m in enumerate(self.machines)
                if m.up and len(m.flights) < self.config.slots
            ]
            if not free:
                break
            i = min(free, key=lambda i: (len(self.machines[i].flights), i))
            machine = self.machines[i]
            if i not in touched:
                self._settle(machine)
                touched.add(i)
            group, slot, attempt = self.waiting.pop(0)
            length, mark = self._length(group, slot, attempt), machine.progress
            machine.flights[group, slot] = Flight(group, slot, attempt, length, self.now, mark)
            if math.isfinite(length):
                heapq.heappush(machine.ends, (mark + length, (group, slot)))
        for i in sorted(touched):
            self._changed(i)

    def _take(self) -> None:
        if self.training is not None:
            return
        batch = self.orchestrator.batch()
        if batch is None:
            assert not self.orchestrator.stuck(), "a deadlock: no batch can come together"
            return
        tokens = 0
        for group in batch:
            self.staleness[self.orchestrator.staleness(group)] += 1
            tokens += sum(n for r in group.rollouts.values() for _, n in r.segments)
        self.training, self.trained_tokens = batch, self.trained_tokens + tokens
        assert self.idle_since is not None
        self.idle, self.idle_since = self.idle + self.now - self.idle_since, None
        self._push(self.now + tokens / self.config.train_tokens_per_second, "trained", 0)

    def _again(self, machine: Machine, flights: list[Flight], why: str) -> None:
        """Rollouts without an end: their groups try again, each slot by itself, or are dropped."""
        by_group: dict[int, list[Flight]] = {}
        for f in flights:
            self.lost_tokens += math.floor(machine.progress - f.mark + 1e-6)
            by_group.setdefault(f.group, []).append(f)
        for group, lost in by_group.items():
            if self.orchestrator.failed(group, why):
                self.waiting += [(group, f.slot, f.attempt + 1) for f in lost]
            else:  # what others still generate for it ends in vain
                self.waiting = [w for w in self.waiting if w[0] != group]

    def _snapshot(self, machine: Machine) -> Weights:
        """The served weights, as this machine has them."""
        version, size = self.orchestrator.serving, self.config.vocabulary
        return Weights(machine.progress, version, table(version, size) if size else np.empty(0))

    def _draw(self, machine: Machine, f: Flight, end: float) -> Drawn:
        drawn = Drawn(machine.segments(f, end))
        if not self.config.vocabulary:
            return drawn
        seed = derived_seed(self.config.seed, f.group, f.slot)
        for version, count in drawn.segments:
            logits_V = machine.copy_of(version)
            logp_V = log_probabilities(logits_V)
            for _ in range(count):
                token = draw(logits_V, seed, len(drawn.tokens))
                drawn.tokens.append(token)
                drawn.logprobs.append(float(logp_V[token]))
        return drawn

    def _settle(self, machine: Machine) -> None:
        """Bring its progress up to now."""
        n, elapsed, machine.since = len(machine.flights), self.now - machine.since, self.now
        if n:
            machine.used += n * elapsed
            machine.progress += elapsed / self._token_seconds(n)

    def _changed(self, i: int) -> None:
        """Plan the machine's next end, or the next rollout that is given up."""
        machine = self.machines[i]
        machine.epoch += 1
        first = next(iter(machine.flights.values()), None)
        if first is None:
            return
        at = first.began + self.config.timeout_seconds
        if machine.ends:
            left = machine.ends[0][0] - machine.progress
            at = min(at, self.now + left * self._token_seconds(len(machine.flights)))
        self._push(max(self.now, at), "token", i, machine.epoch)

    def _token_seconds(self, n: int) -> float:
        return self.config.step_seconds + (n - 1) * self.config.sequence_seconds

    def _length(self, group: int, slot: int, attempt: int) -> float:
        c = self.config.length
        if self._uniform("hang", group, slot, attempt) < self.config.hang_share:
            return math.inf
        u, v = self._uniform("u", group, slot), self._uniform("v", group, slot)
        normal = math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
        return float(min(c.longest, max(1, round(c.median * math.exp(c.sigma * normal)))))

    def _judge(self, group: Group[Drawn]) -> str | None:
        """With dynamic sampling, one group in five has no contrast."""
        return "no contrast" if self._uniform("contrast", group.id) < 0.2 else None

    def _plan_crash(self, i: int) -> None:
        mean = self.config.crash_seconds
        if mean is not None:
            u = self._uniform("crash", i, self.machines[i].crashes)
            self._push(self.now - mean * math.log(1 - u), "crash", i)

    def _uniform(self, *parts: object) -> float:
        text = repr((self.config.seed, *parts)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") / 2**64

    def _push(self, at: float, kind: str, i: int, epoch: int = -1) -> None:
        heapq.heappush(self._events, (at, self._order, kind, i, epoch))
        self._order += 1

    def _note(self, kind: str, i: int) -> None:
        o = self.orchestrator
        self.log_length += 1
        entry = (round(self.now, 6), kind, i, o.version, o.serving, o.started, o.trained, o.alive)
        text = f"{self.log_hash}{entry}".encode()
        self.log_hash = hashlib.blake2b(text, digest_size=16).hexdigest()
        if self._watch is not None:
            self._watch(self, kind)

    # -- what came of it ------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Rates over the simulated time."""
        o, slots = self.orchestrator, self.config.samplers * self.config.slots
        for machine in self.machines:
            self._settle(machine)
        idle = self.idle + (self.now - self.idle_since if self.idle_since is not None else 0.0)
        return {
            "seconds": self.now,
            "steps": o.version,
            "tokens_per_second": self.trained_tokens / self.now,
            "trainer_idle": idle / self.now,
            "slots_idle": 1 - sum(m.used for m in self.machines) / (self.now * slots),
            "staleness": dict(sorted(self.staleness.items())),
            "dropped": dict(o.dropped),
            "lost_tokens": self.lost_tokens,
            "crashes": sum(m.crashes for m in self.machines),
        }


def compare(config: SimulateConfig) -> dict[str, Any]:
    """A recipe beside the synchronous loop on the same machines: both summaries, and the ratio of
    their tokens per second."""
    synchronous = config.model_copy(update={"asynchrony": AsyncConfig()})
    found = {
        "recipe": Simulation(config).run().summary(),
        "synchronous": Simulation(synchronous).run().summary(),
    }
    rates = [side["tokens_per_second"] for side in found.values()]
    return found | {"ratio": rates[0] / rates[1]}
