"""A run on the terminal: a live view, or plain lines where nobody can see one. From events alone,
so that a journal is shown as the run was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from openzaya.config.rsa import Prices, RSAConfig
from openzaya.ttc.cost import money
from openzaya.ttc.events import (
    CandDelta,
    CandEnd,
    CandStart,
    Event,
    RoundEnd,
    RoundStart,
    RunEnd,
    RunStop,
)
from openzaya.ttc.population import Tokens, tokens_of
from openzaya.ttc.vote import tally

CELLS = 48
"""Candidates of a round that are shown one by one."""
ANSWERS = 3
"""Of a round, those with the most votes."""
TAIL = 400
"""Characters kept of what is being written."""
PER_SECOND = 8
SIGNS = {
    "waiting": ("·", "."), "running": ("▒", "-"), "leading": ("█", "#"), "other": ("▄", "o"),
    "no answer": ("░", "_"), "failed": ("✗", "x"), "cancelled": ("╌", "~"),
}  # fmt: skip
"""Of a candidate; the second for terminals without the first."""
COLOURS = {
    "running": "yellow", "leading": "green", "other": "magenta", "failed": "red",
    "no answer": "bright_black", "waiting": "bright_black", "cancelled": "bright_black",
}  # fmt: skip


@dataclass(slots=True)
class Round:
    """What is known of one round."""

    width: int
    running: set[int] = field(default_factory=set)
    ended: dict[int, CandEnd] = field(default_factory=dict)

    @property
    def votes(self) -> dict[str, int]:
        order = [self.ended[s].vote for s in sorted(self.ended)]
        return tally(order)

    def state(self, slot: int) -> str:
        """A key of SIGNS."""
        end = self.ended.get(slot)
        if end is None:
            return "running" if slot in self.running else "waiting"
        if end.finish in ("error", "cancelled"):
            return "failed" if end.finish == "error" else "cancelled"
        if end.vote is None:
            return "no answer"
        return "leading" if end.vote == next(iter(self.votes)) else "other"


class Progress:
    """All that a view shows of one run; `hear` its events."""

    def __init__(self, title: str, config: RSAConfig) -> None:
        self.title, self.prices = title, config.prices
        self.rounds = [Round(config.width(t)) for t in range(config.rounds + 1)]
        self.tokens = Tokens()
        self._at, self._heard = 0.0, time.monotonic()
        self.writing: dict[str, str] = {}
        """Ends of what is being written, the latest last."""
        self.stop: RunStop | None = None
        self.end: RunEnd | None = None

    def hear(self, event: Event) -> None:
        self._at, self._heard = max(self._at, event.at), time.monotonic()
        if isinstance(event, CandStart):
            round_ = self.rounds[event.round]
            round_.running.add(event.slot)
            round_.ended.pop(event.slot, None)
            self.stop = self.end = None
        elif isinstance(event, CandDelta):
            text = self.writing.pop(event.id, "") + event.text
            self.writing[event.id] = text[-TAIL:]
        elif isinstance(event, CandEnd):
            self.rounds[event.round].ended[event.slot] = event
            self.writing.pop(event.id, None)
            if event.tokens:
                self.tokens = self.tokens.plus(tokens_of(event.tokens))
        elif isinstance(event, RunStop):
            self.stop = event
        elif isinstance(event, RunEnd):
            self.end = event

    @property
    def seconds(self) -> float:
        """Since the run began; it goes on while nothing happens."""
        return self._at + (0.0 if self.end is not None else time.monotonic() - self._heard)

    @property
    def money(self) -> float:
        return money(self.tokens, self.prices)

    @property
    def priced(self) -> bool:
        return self.prices != Prices()

    def costs(self) -> str:
        """Tokens, money and time in one line."""
        t = self.tokens
        cached = f" ({t.cached:,} cached)" if t.cached else ""
        price = f" · cost {self.money:.4g}" if self.priced else ""
        return (
            f"{t.decode:,} tokens written · {t.prompt:,} read{cached}{price} · {self.seconds:.1f} s"
        )


class Lines:
    """A line for every round, failure and end. `paused`: while others write to the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def open(self, run: Progress) -> None:
        self.say(run.title)

    def hear(self, run: Progress, event: Event) -> None:
        if isinstance(event, RoundStart):
            self.say(
                f"round {event.round}: {event.width} rollouts of at most {event.budget} tokens"
            )
        elif isinstance(event, CandEnd) and event.finish == "error":
            self.say(f"rollout {event.id} failed: {event.error}")
        elif isinstance(event, RoundEnd):
            said = ", ".join(f"{n} say {_short(a)}" for a, n in _first(event.votes))
            failed = f", {event.failed} failed" if event.failed else ""
            self.say(
                f"round {event.round}: {event.agreement:.0%} agree ({said or 'no answer'}), "
                f"{event.tokens} tokens{failed}"
            )

    def close(self, run: Progress) -> None:
        for line in summary(run):
            self.say(line)

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Screen(Lines):
    """All open runs, drawn anew some times a second; what has ended stays as two lines."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._runs: list[Progress] = []
        wide = console.encoding.lower().startswith("utf")
        self._signs = {state: pair[not wide] for state, pair in SIGNS.items()}
        self._live: Live | None = None

    def open(self, run: Progress) -> None:
        self._runs.append(run)
        self._begin()

    def hear(self, run: Progress, event: Event) -> None:
        pass  # it is drawn by the clock

    def close(self, run: Progress) -> None:
        with self.paused():
            self._runs.remove(run)
            self.say(run.title)
            super().close(run)

    @contextmanager
    def paused(self) -> Iterator[None]:
        if self._live is not None:
            self._live.stop()
            self._live = None
        yield
        self._begin()

    def _begin(self) -> None:
        """A new one each time: one that was stopped would clear what was written since."""
        if self._runs and self._live is None:
            self._live = Live(
                console=self._console, refresh_per_second=PER_SECOND, transient=True,
                redirect_stdout=False, get_renderable=self._render, vertical_overflow="crop",
            )  # fmt: skip
            self._live.start()

    def _render(self) -> Group:
        legend = Text()
        for state in SIGNS:
            legend.append(f"{self._signs[state]} ", COLOURS[state]).append(
                f"{state}  ", "bright_black"
            )
        return Group(*(part for run in self._runs for part in self.draw(run)), _line(legend))

    def draw(self, run: Progress) -> list[Text]:
        """The lines of one run."""
        rows = [_line(Text(run.title, "bold"))]
        for number, round_ in enumerate(run.rounds):
            rows.append(_line(self._round(number, round_)))
        rows.append(_line(Text(run.costs(), "cyan")))
        if run.writing:
            id_, text = list(run.writing.items())[-1]
            width = max(10, self._console.width - len(id_) - 2)
            rows.append(_line(Text(f"{id_} …{_flat(text)[-width + 1 :]}", "bright_black")))
        return rows

    def _round(self, number: int, round_: Round) -> Text:
        row = Text(f"round {number}  ")
        for slot in range(min(round_.width, CELLS)):
            state = round_.state(slot)
            row.append(self._signs[state], COLOURS[state])
        done = sum(e.finish not in ("cancelled",) for e in round_.ended.values())
        row.append(f"  {done}/{round_.width}")
        if votes := round_.votes:
            share = max(votes.values()) / round_.width
            row.append(f"  {share:.0%}", "bold")
            for answer, count in _first(votes):
                row.append(f"  {_short(answer)}")
                row.append(f" ×{count}", "bright_black")
        return row


def view_on(console: Console) -> Lines:
    """The live view where there is a terminal that can show one."""
    seen = console.is_terminal and not console.is_dumb_terminal
    return Screen(console) if seen else Lines(console)


def summary(run: Progress) -> list[str]:
    """What is left of a run that has ended."""
    lines = []
    if (stop := run.stop) is not None and stop.reason != "done":
        why = {"agreed": "enough agree", "budget": "the limit is reached", "error": "it failed"}
        saved = f"; about {stop.saved_tokens:,} tokens saved" if stop.saved_tokens else ""
        detail = f": {stop.detail}" if stop.detail else ""
        lines.append(f"stopped early, {why.get(stop.reason, stop.reason)}{detail}{saved}")
    agreement = run.end.agreement if run.end is not None else 0.0
    lines.append(f"{agreement:.0%} agree · {run.costs()}")
    return lines


def title(question: str, place: str = "") -> str:
    """A problem in one line."""
    flat = _flat(question).strip()
    return f"{place}{flat[:100]}{'…' if len(flat) > 100 else ''}"


def _first(votes: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(votes.items(), key=lambda pair: -pair[1])[:ANSWERS]


def _short(answer: str) -> str:
    flat = _flat(answer)
    return flat if len(flat) <= 24 else flat[:23] + "…"


def _flat(text: str) -> str:
    """One line, and nothing in it that moves a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
