"""The journal of a run: its events, one JSON line each, only ever appended to.

A killed run goes on from it and repeats no rollout that it holds; a finished one can be shown
again. A kill can cut the last line, which is then dropped; anything else that is no event is an
error, named by its line.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Literal

from openzaya.errors import DataError, RunError
from openzaya.ttc.events import CandEnd, Event, RoundEnd, RunEnd, RunStart, from_json

Fsync = Literal["always", "round", "never"]
"""When a line goes to the disk, which matters if the machine stops (a killed process loses
nothing). always: before the run goes on from a rollout; round: behind every round, while the next
one runs; never: as the system likes."""


_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """One run's journal, held for writing until `close`. Use in a `with` block."""

    def __init__(self, path: Path, file: int, events: list[Event], fsync: Fsync) -> None:
        self.path = path
        self.events = events
        """What it held when it was opened, deltas excepted, in order."""
        self._file, self.fsync = file, fsync
        self._syncing: Thread | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], fsync: Fsync = "round") -> Journal:
        """A new journal, or one to go on with. RunError if another process writes to it, or if a
        line is corrupt."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            events, whole = _parse(path)
            os.ftruncate(file, whole)  # what a kill cut
        except BlockingIOError:
            os.close(file)
            raise RunError(
                f"{path}: another process is writing this run", "wait for it, or stop it"
            ) from None
        except BaseException:
            os.close(file)
            raise
        return cls(path, file, events, fsync)

    def add(self, event: Event) -> None:
        """Append one event."""
        # ASCII: no reader takes U+2028 for the end of a line, and half a surrogate pair survives.
        data = (_ENCODE(event.to_json()) + "\n").encode()
        while data:
            data = data[os.write(self._file, data) :]
        if self.fsync == "always" and isinstance(event, CandEnd | RunStart | RunEnd):
            os.fsync(self._file)
        elif self.fsync == "round" and isinstance(event, RunStart | RoundEnd | RunEnd):
            self._wait()
            self._syncing = Thread(target=os.fsync, args=(self._file,))
            self._syncing.start()

    def _wait(self) -> None:
        if self._syncing is not None:
            self._syncing.join()

    def close(self) -> None:
        """Release the file; a second time does nothing."""
        if self._file >= 0:
            self._wait()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_events(path: str | os.PathLike[str]) -> list[Event]:
    """All events of a journal, also of one that is being written. RunError if there is none."""
    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path}: no such journal", "check the path; a journal is a .jsonl file")
    events = _parse(path)[0]
    if not events:
        raise RunError(f"{path} holds no event", "name the journal of a run that has begun")
    return events


async def play(
    path: str | os.PathLike[str], on_event: Callable[[Event], None], speed: float = 1.0
) -> None:
    """Let `on_event` hear a run again, `speed` times as fast as it was; 0: at once."""
    events = read_events(path)
    for before, event in zip([events[0], *events], events, strict=False):
        if speed and event.at > before.at:
            await asyncio.sleep((event.at - before.at) / speed)
        on_event(event)


def _parse(path: Path) -> tuple[list[Event], int]:
    """(events, bytes of whole lines)."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    events: list[Event] = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            events.append(from_json(json.loads(line)))
        except (ValueError, DataError) as error:
            raise RunError(
                f"{path}:{number}: corrupt: {error}",
                f"delete line {number}; if it told of a rollout, that is made again",
            ) from None
    if events and not isinstance(events[0], RunStart):
        raise RunError(f"{path} does not begin with a run", "name the journal of a run")
    return events, whole


def last_run_end(events: Sequence[Event]) -> RunEnd | None:
    return next((e for e in reversed(events) if isinstance(e, RunEnd)), None)
