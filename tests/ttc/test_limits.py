"""Limits, early stop, "answer now" and cancellation: an answer from what exists, and no overrun."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.rsa import RSAConfig
from openzaya.ttc import Result, derived_seed, reason
from openzaya.ttc.events import CandEnd, Event, RunStop
from openzaya.types import Completion, Message, Request

Q = (Message("user", "What is 12+7?"),)


def config(**changes: Any) -> RSAConfig:
    small: dict[str, Any] = dict(
        population=5, candidates=3, rounds=2, tail=12, budget=200, final_budget=None,
        template="aggregate-v1",
    )  # fmt: skip
    return RSAConfig.model_validate(small | changes)


def run(sampler: Any, cfg: RSAConfig, **more: Any) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    work = reason(Q, sampler, cfg, run_id="p1", on_event=events.append, **more)
    return asyncio.run(work), events


def pacing(scripted: Any, seconds: float, says: str = "") -> Any:
    """A sampler that takes its time, and counts how many it serves at once."""

    class Pacing(scripted):
        now = most = cancelled = 0

        async def sample(self, requests: Sequence[Request]) -> list[Completion]:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                if says and requests[0].on_text:
                    requests[0].on_text(says)
                await asyncio.sleep(seconds)
                return await super().sample(requests)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.now -= 1

    return Pacing()


@given(limit=st.integers(200, 3000))
@settings(max_examples=30, deadline=None)
def test_tokens_are_never_exceeded_and_there_is_an_answer(scripted: Any, limit: int) -> None:
    result, events = run(scripted(), config(limits={"tokens": limit}))
    assert result.cost.decode_tokens <= limit
    assert result.answer is not None
    whole, _ = run(scripted(), config())
    stopped = result.stop == "budget"
    assert stopped or (result.stop, result.answer) == ("done", whole.answer)
    if stopped:
        assert limit - result.cost.decode_tokens < 200, "another rollout did not fit"
        assert isinstance(events[-3], RunStop) and f"of {limit} tokens" in events[-3].detail


def test_a_limit_lets_as_many_run_at_once_as_it_can_pay(scripted: Any) -> None:
    sampler = pacing(scripted, 0.01)
    run(sampler, config(limits={"tokens": 650}))
    assert sampler.most == 3
    sampler = pacing(scripted, 0.01)
    run(sampler, config(concurrency=2))
    assert sampler.most == 2
    sampler = pacing(scripted, 0.01)
    run(sampler, config())
    assert sampler.most == 5


def test_money_counts_prompts_and_what_a_cache_spared(scripted: Any) -> None:
    prices = {"prefill": 1.0, "decode": 10.0, "cached": 0.1}
    result, _ = run(scripted(), config(prices=prices))
    t = result.cost.tokens
    assert result.cost.money == pytest.approx((t.prompt + 10 * t.decode) / 1e6)
    limit = result.cost.money / 2
    stopped, _ = run(scripted(), config(prices=prices, limits={"money": limit}))
    assert (stopped.stop, stopped.refusal) == ("budget", None)
    assert limit / 2 < stopped.cost.money <= limit


def test_seconds_end_a_run_with_what_it_has(scripted: Any) -> None:
    sampler = pacing(scripted, 0.1)
    result, events = run(sampler, config(limits={"seconds": 0.15}))
    assert (result.stop, result.detail) == ("budget", "0.15 s have passed")
    assert [len(result.members(t)) for t in range(3)] == [5, 0, 0]
    assert result.answer is not None and result.chosen is not None
    cut = [e for e in events if isinstance(e, CandEnd) and e.finish == "cancelled"]
    assert len(cut) == sampler.cancelled, "of round 1"
    assert sampler.now == 0, "nothing goes on behind the run's back"


def test_an_unfinished_rollout_is_better_than_nothing(scripted: Any) -> None:
    limits = {"limits": {"seconds": 0.05}}
    result, events = run(pacing(scripted, 9, "so it is \\boxed{19}, wait"), config(**limits))
    assert (result.answer, result.stop, result.refusal) == ("19", "budget", None)
    assert any(e.tail.endswith("wait") for e in events if isinstance(e, CandEnd))
    result, _ = run(pacing(scripted, 9, "hm"), config(**limits))
    assert (result.answer, result.refusal) == (
        None, "no rollout ended: budget (0.05 s have passed)",
    )  # fmt: skip


def test_stop_answers_now(scripted: Any) -> None:
    async def go() -> Result:
        stop = asyncio.Event()
        work = reason(Q, pacing(scripted, 0.1), config(), run_id="p1", stop=stop)
        task = asyncio.create_task(work)
        await asyncio.sleep(0.15)
        stop.set()
        return await task

    result = asyncio.run(go())
    assert (result.stop, len(result.members(0)), len(result.members(1))) == ("cancelled", 5, 0)
    assert result.answer is not None


def test_cancelling_the_task_cancels_the_rollouts(scripted: Any) -> None:
    sampler, events = pacing(scripted, 9), list[Event]()

    async def go() -> None:
        work = reason(Q, sampler, config(), run_id="p1", on_event=events.append)
        task = asyncio.create_task(work)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sampler.now == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())
    assert sampler.cancelled == 5
    assert (events[-1].type, events[-1].to_json()["reason"]) == ("run.stop", "cancelled")


def agreeing(prompt: str, _seed: int) -> list[int]:
    """Nobody agrees in round 0, everybody later."""
    answer = "7" if "Attempt" in prompt else str(_seed)
    return [*b"thinking", 257, *answer.encode(), 258]


def test_an_early_stop_reports_what_it_saved(scripted: Any) -> None:
    cfg = config(rounds=4, early_stop={"share": 0.8, "voters": 4})
    sampler = scripted(agreeing)
    result, _ = run(sampler, cfg)
    assert (result.stop, result.answer, result.agreement) == ("agreed", "7", 1.0)
    assert len(sampler.asked) == 10, "nothing was begun that agreement makes needless"
    assert result.saved_tokens == pytest.approx(result.cost.decode_tokens / 10 * 15, abs=1)
    whole, _ = run(scripted(agreeing), config(rounds=4))
    assert (whole.stop, whole.saved_tokens, whole.answer) == ("done", 0, "7")


@pytest.mark.parametrize(("share", "voters"), [(0.81, 4), (0.6, 5)])
def test_agreement_needs_its_share_and_its_voters(scripted: Any, share: float, voters: int) -> None:
    silent = derived_seed(0, "p1", 1, 0)

    def script(prompt: str, seed: int) -> list[int]:
        return [*b"thinking on and on"] if seed == silent else agreeing(prompt, seed)

    cfg = config(rounds=1, early_stop={"share": share, "voters": voters})
    result, _ = run(scripted(script), cfg.model_copy(update={"rounds": 2}))
    assert result.agreement == 1.0 and len(result.members(2)) == 5, "round 1: 4 of 5 agree"
    cfg = config(rounds=2, early_stop={"share": 0.8, "voters": 4})
    result, _ = run(scripted(script), cfg)
    assert (result.stop, result.agreement) == ("agreed", 0.8)
