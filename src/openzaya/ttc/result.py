"""What a run comes to, when it ends or when its journal is read again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openzaya.config.base import from_plain
from openzaya.config.rsa import RSAConfig
from openzaya.ttc.choose import Choice, Scorer, choose
from openzaya.ttc.cost import Cost
from openzaya.ttc.events import CandEnd, CandStart, Event, RoundStart, RunEnd, RunStart, RunStop
from openzaya.ttc.journal import read_events
from openzaya.ttc.population import Candidate, tokens_of


@dataclass(slots=True)
class Result:
    """Populations P_0 .. P_T, each in slot order, the answer chosen from them, and the cost.

    The report scores the mean correctness of P_T. A slot whose rollout failed, or was not made
    because the run stopped, is None.
    """

    config: RSAConfig
    run_id: str
    populations: list[list[Candidate | None]] = field(repr=False)  # asyncio.run prints it in vain
    choice: Choice
    cost: Cost
    stop: str
    """done, agreed, budget, cancelled, error; of a journal without an end: unfinished."""
    detail: str = ""
    """More about `stop`, for people."""
    saved_tokens: int = 0
    refusal: str | None = None
    """Why there is no answer; None if there is one."""

    @property
    def answer(self) -> str | None:
        return self.choice.answer

    @property
    def response(self) -> str | None:
        """The text to show: all that the chosen rollout said after thinking."""
        return self.choice.response

    @property
    def chosen(self) -> Candidate | None:
        return self.choice.chosen

    @property
    def votes(self) -> Mapping[str, int]:
        return self.choice.votes

    @property
    def agreement(self) -> float:
        return self.choice.agreement

    def members(self, round_: int) -> list[Candidate]:
        """Those of a round that ended; round -1 is the last."""
        return [c for c in self.populations[round_] if c is not None]


@dataclass(slots=True)
class Past:
    """What a journal tells of a run: the last word on each rollout."""

    start: RunStart
    ends: dict[tuple[int, int], CandEnd]
    parents: dict[tuple[int, int], list[int]]
    stop: RunStop | None
    end: RunEnd | None
    """Both None while the run has not ended since it last went on."""
    seconds: float
    rounds: set[int]
    """Those that have begun."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> Past:
        """`events` begin with the run."""
        assert isinstance(events[0], RunStart)
        past = cls(events[0], {}, {}, None, None, max(e.at for e in events), set())
        for event in events:
            if isinstance(event, CandStart):
                past.parents[event.round, event.slot] = event.parents
                past.stop = past.end = None
            elif isinstance(event, CandEnd):
                past.stop = past.end = None
                if event.finish != "cancelled":
                    past.ends[event.round, event.slot] = event
            elif isinstance(event, RoundStart):
                past.rounds.add(event.round)
            elif isinstance(event, RunStop):
                past.stop = event
            elif isinstance(event, RunEnd):
                past.end = event
        return past

    def candidate(self, round_: int, slot: int) -> Candidate | None:
        """None: it has not ended, or failed."""
        event = self.ends.get((round_, slot))
        if event is None or event.finish == "error":
            return None
        return Candidate.of(event, self.parents.get((round_, slot), ()))


def replay(path: str | os.PathLike[str], score: Scorer | None = None) -> Result:
    """The result of a journal's run. RunError if the journal is none; a run that has not ended
    answers from what it has (`score`: for selection = best)."""
    past = Past.of(read_events(path))
    config, run_id = from_plain(RSAConfig, past.start.config), past.start.run_id
    populations = [
        [past.candidate(t, slot) for slot in range(config.width(t))]
        for t in range(config.rounds + 1)
    ]
    cost = Cost(config.prices, seconds=past.seconds)
    for (round_, _), event in past.ends.items():
        cost.add(round_, tokens_of(event.tokens), event.seconds, failed=event.finish == "error")
    if past.end is not None:
        by_id = {c.id: c for population in populations for c in population if c is not None}
        chosen = by_id.get(past.end.chosen or "")
        response = chosen.response if chosen and chosen.response else past.end.answer
        choice = Choice(past.end.answer, response, chosen, past.end.votes, past.end.agreement)
    elif config.selection == "best" and score is None:
        choice = Choice()
    else:
        choice = choose(config, run_id, populations, (), score)
    stop = past.stop or RunStop("unfinished", "the journal ends before the run")
    refusal = past.end.refusal if past.end is not None else None
    return Result(
        config, run_id, populations, choice, cost, stop.reason, stop.detail, stop.saved_tokens,
        refusal,
    )  # fmt: skip
