"""Samplers that fail, hang and babble: recorded, repeated, tolerated, and never without an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.rsa import RSAConfig
from openzaya.errors import EngineError
from openzaya.ttc import Result, derived_seed, reason
from openzaya.ttc.draws import drawn, spares
from openzaya.ttc.events import CandEnd, Event
from openzaya.types import Completion, FinishReason, Message, Request

Q = (Message("user", "What is 12+7?"),)


def config(**changes: Any) -> RSAConfig:
    small: dict[str, Any] = dict(
        population=5, candidates=3, rounds=2, tail=12, budget=200, final_budget=None,
        template="aggregate-v1", rollout_timeout=60,
    )  # fmt: skip
    return RSAConfig.model_validate(small | changes)


def seeds(cfg: RSAConfig) -> dict[int, tuple[int, int]]:
    """Slot of each first seed."""
    return {
        derived_seed(cfg.seed, "p1", t, s): (t, s)
        for t in range(cfg.rounds + 1)
        for s in range(cfg.width(t))
    }


Fault = Callable[[Completion], Completion]


def empty(c: Completion) -> Completion:
    none = np.zeros(0, dtype=np.int32)
    return replace(c, token_ids=none, text="", reasoning="", answer=None)


def only_tags(c: Completion) -> Completion:
    ids = np.array([257, 258], dtype=np.int32)
    return replace(c, token_ids=ids, reasoning="", answer="", finish_reason=FinishReason.STOP)


def over_long(c: Completion) -> Completion:
    return replace(c, token_ids=np.full(2000, 97, dtype=np.int32))


def not_a_number(c: Completion) -> Completion:
    return replace(c, finish_reason=FinishReason.ERROR)


def aborted(c: Completion) -> Completion:
    return replace(c, finish_reason=FinishReason.ABORT)


WORDS = {
    empty: "it is empty", only_tags: "it is empty", over_long: "its budget is 200",
    not_a_number: "no finite number", aborted: "gave it up",
}  # fmt: skip


def faulty(scripted: Any, fault: Any, slots: set[tuple[int, int]], cfg: RSAConfig, times: int = 99):
    """A sampler whose `slots` go wrong, the first `times` that they are tried."""
    places = seeds(cfg)

    class Faulty(scripted):
        def __init__(self) -> None:
            super().__init__()
            self.tries: dict[tuple[int, int], int] = {}
            self.place: dict[int, tuple[int, int]] = dict(places)
            for (t, s), seed in ((v, k) for k, v in places.items()):
                for n in range(1, 9):
                    self.place[derived_seed(cfg.seed, "p1", t, s, "try", n)] = (t, s)
                assert seed in self.place

        async def sample(self, requests: Sequence[Request]) -> list[Completion]:
            at = self.place[requests[0].params.seed]
            self.tries[at] = self.tries.get(at, 0) + 1
            done = await super().sample(requests)
            if at not in slots or self.tries[at] > times:
                return done
            if fault == "raise":
                raise EngineError("the endpoint is away", "start it")
            if fault == "hang":
                await asyncio.sleep(3600)
            if fault == "two":
                return done * 2
            return [fault(done[0])]

    return Faulty()


def run(sampler: Any, cfg: RSAConfig, **more: Any) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    work = reason(Q, sampler, cfg, run_id="p1", on_event=events.append, **more)
    return asyncio.run(work), events


TIMES: dict[Any, dict[str, float]] = {"hang": {"rollout_timeout": 0.05}}
ALL = ["raise", "hang", "two", *WORDS]


@pytest.mark.parametrize("fault", ALL, ids=lambda f: getattr(f, "__name__", f))
def test_a_passing_fault_changes_nothing_but_the_tries(scripted: Any, fault: Any) -> None:
    cfg = config(**TIMES.get(fault, {}))
    plain, _ = run(scripted(), cfg)
    sampler = faulty(scripted, fault, {(0, 1), (1, 3)}, cfg, times=2)
    result, _ = run(sampler, cfg)
    assert sampler.tries[0, 1] == sampler.tries[1, 3] == 3
    assert (result.stop, result.cost.failures) == ("done", 0)
    hurt = result.populations[0][1]
    assert hurt is not None and hurt.tries == 3
    if fault in WORDS:  # the text was at fault: another seed writes another one
        assert hurt.seed == derived_seed(0, "p1", 0, 1, "try", 2)
    else:  # it never came: the same seed, so the very same run
        assert hurt.seed == derived_seed(0, "p1", 0, 1)
        assert [[c.tail_ids for c in result.members(t)] for t in range(3)] == [
            [c.tail_ids for c in plain.members(t)] for t in range(3)
        ]


@pytest.mark.parametrize("fault", ALL, ids=lambda f: getattr(f, "__name__", f))
def test_a_lasting_fault_is_recorded_and_tolerated(scripted: Any, fault: Any) -> None:
    cfg = config(retries=1, **TIMES.get(fault, {}))
    sampler = faulty(scripted, fault, {(0, 1), (1, 3), (2, 0)}, cfg)
    result, events = run(sampler, cfg)
    assert (result.stop, result.refusal, result.cost.failures) == ("done", None, 3)
    assert [p.index(None) for p in result.populations] == [1, 3, 0]
    failed = [e for e in events if isinstance(e, CandEnd) and e.finish == "error"]
    assert [(e.id, e.tries) for e in failed] == [("0.1", 2), ("1.3", 2), ("2.0", 2)]
    says = WORDS.get(fault) or {
        "raise": "the endpoint is away (start it)", "hang": "no end within 0.05 s",
        "two": "ValueError",
    }[fault]  # fmt: skip
    assert all(says in (e.error or "") for e in failed)
    for c in (c for t in (1, 2) for c in result.members(t)):
        gone = {1: 1, 2: 3}[c.round]
        wanted = drawn(cfg, "p1", c.round, c.slot)
        if gone in wanted:  # the first spare stands in
            wanted.remove(gone)
            wanted.append(spares(cfg, "p1", c.round, c.slot)[0])
        assert c.parents == tuple(sorted(wanted))


def test_tokens_of_failed_tries_are_paid_for(scripted: Any) -> None:
    cfg = config(rounds=0, retries=1)
    result, events = run(faulty(scripted, over_long, {(0, 1)}, cfg), cfg)
    (failed,) = [e for e in events if isinstance(e, CandEnd) and e.finish == "error"]
    assert failed.tokens["decode"] == 2 * 2000
    assert result.cost.decode_tokens == 4000 + sum(c.tokens.decode for c in result.members(0))


def test_a_round_may_fall_to_the_stated_population(scripted: Any) -> None:
    bad = {(1, s) for s in (0, 1, 2)}
    for least, stop in ((2, "done"), (3, "error")):
        cfg = config(retries=0, min_population=least)
        result, events = run(faulty(scripted, "raise", bad, cfg), cfg)
        assert result.stop == stop
        assert result.answer is not None, "of what there is"
        if stop == "error":
            assert result.detail == (
                "3 of 5 rollouts of round 1 failed: the endpoint is away (start it)"
            )
            assert not any(isinstance(e, CandEnd) and e.round == 2 and e.finish != "cancelled"
                           for e in events)  # fmt: skip
        else:
            assert {len(c.parents) for c in result.members(2)} == {2}, "fewer than C are left"


def test_a_run_without_anything_says_so(scripted: Any) -> None:
    cfg = config(retries=1)
    result, events = run(faulty(scripted, "raise", {(0, s) for s in range(5)}, cfg), cfg)
    assert (result.answer, result.response, result.chosen) == (None, None, None)
    assert result.refusal is not None and "endpoint is away" in result.refusal
    assert [e.type for e in events[-2:]] == ["run.stop", "run.end"]
    assert events[-1].to_json()["refusal"] == result.refusal


def test_a_chain_whose_tail_is_lost_takes_up_another(scripted: Any) -> None:
    cfg = config(candidates=1, retries=0)
    result, _ = run(faulty(scripted, "raise", {(0, 2)}, cfg), cfg)
    parents = [c.parents for c in result.members(1)]
    assert parents == [(0,), (1,), (spares(cfg, "p1", 1, 2)[0],), (3,), (4,)]


@given(
    bad=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=6),
    order=st.integers(),
)
@settings(max_examples=30, deadline=None)
def test_what_a_prompt_shows_depends_on_who_failed_and_not_on_when(
    scripted: Any, bad: set[tuple[int, int]], order: int
) -> None:
    cfg, rng = config(retries=0, min_population=1), random.Random(order)

    class Uneven(type(faulty(scripted, "raise", bad, cfg))):
        async def sample(self, requests: Sequence[Request]) -> list[Completion]:
            for _ in range(rng.randint(0, 5)):
                await asyncio.sleep(0)
            return await super().sample(requests)

    even, _ = run(faulty(scripted, "raise", bad, cfg), cfg)
    uneven, _ = run(Uneven(), cfg)
    held, _ = run(Uneven(), cfg.model_copy(update={"barrier": True}))
    if even.stop == "done":
        assert even.populations == _timeless(even) == _timeless(uneven) == _timeless(held)


def _timeless(result: Result) -> list[list[Any]]:
    return [
        [None if c is None else _Same(c) for c in population] for population in result.populations
    ]


class _Same:
    """Equal to a candidate in all but its seconds."""

    def __init__(self, candidate: Any) -> None:
        self.candidate = replace(candidate, seconds=0.0)

    def __eq__(self, other: object) -> bool:
        theirs = other.candidate if isinstance(other, _Same) else replace(other, seconds=0.0)
        return self.candidate == theirs


def test_a_fault_of_ours_ends_the_run(scripted: Any) -> None:
    """It is no failed rollout."""

    def listener(event: Event) -> None:
        if isinstance(event, CandEnd):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(reason(Q, scripted(), config(), run_id="p1", on_event=listener))
