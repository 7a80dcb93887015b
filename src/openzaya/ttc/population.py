"""One member of a population, and the journal's form of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from openzaya.ttc.events import CandEnd, unpack_ids


class Tokens(NamedTuple):
    """Of a rollout, or of several. `cached` is a part of `prompt`, `reasoning` of `decode`."""

    prompt: int = 0
    cached: int = 0
    decode: int = 0
    reasoning: int = 0

    def plus(self, other: Tokens) -> Tokens:
        return Tokens(*map(int.__add__, self, other))


NONE = Tokens()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rollout of the population. `parents` are the slots whose tails its prompt showed."""

    round: int
    slot: int
    parents: tuple[int, ...]
    seed: int
    """With which it was drawn."""
    finish: str
    """stop or length."""
    response: str | None
    """Text after the think block; None while that is open."""
    answer: str | None
    """What the response gives as the answer; None if it gives none."""
    vote: str | None
    """The answer normalised: equal votes are one answer."""
    ids: str
    """What it carries on: tokens, packed as `events.pack_ids` does it."""
    tail: str
    """Their text."""
    tokens: Tokens
    """Tries that failed before it are in here too."""
    seconds: float = 0.0
    tries: int = 1

    @property
    def id(self) -> str:
        return name(self.round, self.slot)

    @property
    def tail_ids(self) -> list[int]:
        return unpack_ids(self.ids)

    def event(self) -> CandEnd:
        return CandEnd(
            self.id, self.round, self.slot, self.finish, self.answer, self.vote, self.response,
            self.tail, self.ids, self.tokens._asdict(), self.seconds, self.tries,
            self.seed,
        )  # fmt: skip

    @classmethod
    def of(cls, event: CandEnd, parents: Sequence[int]) -> Candidate:
        """The one that `event` tells of."""
        return cls(
            event.round, event.slot, tuple(parents), event.seed, event.finish, event.response,
            event.answer, event.vote, event.ids, event.tail, tokens_of(event.tokens),
            event.seconds, event.tries,
        )  # fmt: skip


def name(round_: int, slot: int) -> str:
    return f"{round_}.{slot}"


def tokens_of(table: Mapping[str, int]) -> Tokens:
    return Tokens(**table)
