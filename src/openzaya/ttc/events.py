"""What happens in a run, as events: a terminal, a page and the journal all read these.

    run.start  (round.start  cand.start  cand.delta  cand.end  round.end)*  run.stop
    final.delta  run.end

Without a barrier, events of neighbouring rounds interleave. A rollout is (round, slot), and its
`id` is "round.slot".
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from openzaya.errors import DataError


@dataclass(frozen=True)
class Event:
    """Base. `at`: seconds since the run began (a resumed run counts on)."""

    type: ClassVar[str]
    at: float = field(default=0.0, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with `type` first."""
        return {"type": self.type, **self.__dict__}


@dataclass(frozen=True)
class RunStart(Event):
    """`messages`: the conversation. `template`: its id and pieces, from which every prompt can be
    built: head, last user turn, then per tail header (with its number) and tail, then close."""

    type: ClassVar[str] = "run.start"
    run_id: str
    seed: int
    config: dict[str, Any]
    messages: list[dict[str, Any]]
    question: str
    """Text of the last user turn."""
    template: dict[str, str]
    model: str = ""


@dataclass(frozen=True)
class RoundStart(Event):
    """`budget`: tokens that each of its rollouts may write."""

    type: ClassVar[str] = "round.start"
    round: int
    budget: int
    width: int


@dataclass(frozen=True)
class CandStart(Event):
    """`parents`: slots of the round before whose tails the prompt shows, in the order shown.
    `prompt`: the last user turn, only where the tails are not the parents' own (controls)."""

    type: ClassVar[str] = "cand.start"
    id: str
    round: int
    slot: int
    parents: list[int]
    seed: int
    prompt: str | None = None


@dataclass(frozen=True)
class CandDelta(Event):
    """A piece of a rollout's text; at most a few a second. Never in a journal."""

    type: ClassVar[str] = "cand.delta"
    id: str
    text: str


@dataclass(frozen=True)
class CandEnd(Event):
    """A rollout has ended; `finish`: stop, length, error (failed for good) or cancelled."""

    type: ClassVar[str] = "cand.end"
    id: str
    round: int
    slot: int
    finish: str
    answer: str | None = None
    """Found in the response, as written; None if it holds none."""
    vote: str | None = None
    """The answer normalised: equal votes are one answer."""
    response: str | None = None
    """All text after the think block; None while that is open."""
    tail: str = ""
    """What it carries on, as text; `ids` are its tokens (base64 of little-endian int32)."""
    ids: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    """prompt, cached (of the prompt), decode, reasoning (of decode); failed tries included."""
    seconds: float = 0.0
    tries: int = 1
    seed: int = 0
    """With which it was drawn: that of the start, or of a later try."""
    error: str | None = None

    @property
    def tail_ids(self) -> list[int]:
        return unpack_ids(self.ids)


@dataclass(frozen=True)
class RoundEnd(Event):
    """`votes`: votes of each answer, commonest first. `agreement`: the first's share of the round.
    `tokens`: written in this round. `failed`: its slots without a rollout."""

    type: ClassVar[str] = "round.end"
    round: int
    votes: dict[str, int]
    agreement: float
    tokens: int
    failed: int = 0


@dataclass(frozen=True)
class RunStop(Event):
    """`reason`: done, agreed, budget, cancelled or error; `detail` says more, for people."""

    type: ClassVar[str] = "run.stop"
    reason: str
    detail: str = ""
    saved_tokens: int = 0
    """Tokens that stopping early spared, at the mean length of the run's rollouts."""


@dataclass(frozen=True)
class FinalDelta(Event):
    """A piece of the text that answers the question."""

    type: ClassVar[str] = "final.delta"
    text: str


@dataclass(frozen=True)
class RunEnd(Event):
    """`usage`: see `cost.Cost.to_json`. `refusal`: why there is no answer."""

    type: ClassVar[str] = "run.end"
    usage: dict[str, Any]
    answer: str | None
    chosen: str | None
    """Id of the rollout that gave it."""
    votes: dict[str, int]
    agreement: float
    refusal: str | None = None


TYPES: dict[str, type[Event]] = {
    e.type: e
    for e in (
        RunStart, RoundStart, CandStart, CandDelta, CandEnd, RoundEnd, RunStop, FinalDelta, RunEnd,
    )
}  # fmt: skip


def from_json(row: Mapping[str, Any]) -> Event:
    """The event that `to_json` made `row` of; DataError if it is none."""
    try:
        values = dict(row)
        return TYPES[values.pop("type")](**values)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"no event of a run: {json.dumps(row)[:200]}", "journals hold one event a line"
        ) from error


def pack_ids(ids: list[int]) -> str:
    """Token ids as text; a tail of 4096 parses a hundred times faster than as numbers."""
    return base64.b64encode(struct.pack(f"<{len(ids)}i", *ids)).decode()


def unpack_ids(text: str) -> list[int]:
    return np.frombuffer(base64.b64decode(text), dtype="<i4").tolist()
