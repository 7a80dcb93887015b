"""Where a run's events go: into its journal, and to whoever listens. Also its clock.

They go there a moment after they happen, all in order: when many rollouts end at once, the next
ones start first. Nobody hears of a rollout that the journal does not have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from openzaya.config.rsa import RSAConfig
from openzaya.errors import RunError
from openzaya.ttc.events import CandDelta, Event, FinalDelta, RunEnd, RunStart, RunStop
from openzaya.ttc.journal import Journal
from openzaya.ttc.result import Past

OnEvent = Callable[[Event], None]
MOMENT = 0.005
"""Seconds."""


class Record:
    """Tells everything once: what the journal already says is not said again."""

    def __init__(self, journal: Journal | None, on_event: OnEvent | None) -> None:
        self._journal, self._on_event = journal, on_event
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        """Gets the error of a listener or of the disk; nothing is told after it."""
        self._zero = self._loop.time()
        self._queue: deque[tuple[float, Event | Callable[[], Event]]] = deque()
        self._later: asyncio.TimerHandle | None = None
        self._known: dict[tuple[object, ...], Event] = {}
        self._whole = False
        """Whether the journal holds the run's end, and nothing was added to it."""

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._on_event is not None

    def at(self) -> float:
        """Seconds since the run began."""
        return round(self._loop.time() - self._zero, 4)

    def begin(self, start: RunStart) -> Past | None:
        """The past of the run, if the journal holds one: then listeners hear it first. RunError
        for that of another run."""
        if self._journal is None or not self._journal.events:
            self.emit(start)
            return None
        events = self._journal.events
        past = Past.of(events)
        _check_same(past.start, start, self._journal)
        self._zero -= past.seconds
        self._whole = past.end is not None
        for event in events:
            if isinstance(event, RunStop | FinalDelta | RunEnd):
                continue  # it goes on, and ends anew
            self._known[_key(event)] = replace(event, at=0.0)
            if self._on_event is not None:
                self._on_event(event)
        return past

    def emit(self, event: Event | Callable[[], Event]) -> None:
        """Something has happened now. One that is dear to make is made when it is told."""
        self._queue.append((self.at(), event))
        if self._journal is not None and self._journal.fsync == "always":
            self.flush()
        elif self._later is None:
            self._later = self._loop.call_later(MOMENT, self.flush)

    def flush(self) -> None:
        """Tell what has not been told."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        try:
            while self._queue and not self.broken.done():
                at, event = self._queue.popleft()
                self._tell(event if isinstance(event, Event) else event(), at)
        except Exception as error:  # here nobody waits for it
            self.broken.set_exception(error)

    def _tell(self, event: Event, at: float) -> None:
        if self._known and self._known.get(_key(event)) == event:
            return
        object.__setattr__(event, "at", at)  # nobody else has it yet, and a copy costs time
        if self._journal is not None and not isinstance(event, CandDelta):
            ends = isinstance(event, RunStop | FinalDelta | RunEnd)
            if not (ends and self._whole):
                self._journal.add(event)
                self._whole = False
        if self._on_event is not None:
            self._on_event(event)


def _key(event: Event) -> tuple[object, ...]:
    return event.type, getattr(event, "round", None), getattr(event, "slot", None)


def _check_same(old: RunStart, new: RunStart, journal: Journal) -> None:
    """RunError naming what differs, unless both are the same run."""
    differing = [
        key
        for key in {**old.config, **new.config}
        if old.config.get(key) != new.config.get(key) and key not in RSAConfig.how
    ]
    if old.messages != new.messages:
        differing.append("the question")
    differing += [key for key in ("run_id", "model") if getattr(old, key) != getattr(new, key)]
    if differing:
        raise RunError(
            f"{journal.path} is the journal of another run: {', '.join(differing)} differ",
            "name another journal, or go back to what that run was started with",
        )
