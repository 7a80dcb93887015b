"""What a run promises: bounds, scopes, fair draws, kept turns, events, controls, early errors."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from openzaya.chat import prompt_pieces
from openzaya.config.rsa import RSAConfig, preset
from openzaya.errors import ConfigError
from openzaya.ttc import Candidate, Result, check, fixed_phrases, reason
from openzaya.ttc.events import CandEnd, CandStart, Event, RunStart, from_json
from openzaya.types import Message, Request

Q = (Message("user", "What is 12+7?\nOne line. 🙂"),)
CHAT = (
    Message("system", "Be terse."),
    Message("user", "Hi {number}"),
    Message("assistant", "Hello.", reasoning="a greeting"),
    Message("user", "Now 3*4?"),
)


def config(**changes: Any) -> RSAConfig:
    small: dict[str, Any] = dict(
        population=5, candidates=3, rounds=2, tail=12, budget=40, final_budget=60,
        template="aggregate-v1",
    )  # fmt: skip
    return RSAConfig.model_validate(small | changes)


def run(sampler: Any, cfg: RSAConfig, messages: tuple[Message, ...] = Q, **more: Any) -> Result:
    options: dict[str, Any] = {"run_id": "p1"} | more
    return asyncio.run(reason(messages, sampler, cfg, **options))


def by_round(sampler: Any, result: Result) -> list[list[Request]]:
    """What the sampler was asked, in slot order."""
    asked = {r.params.seed: r for r in sampler.asked}
    return [[asked[c.seed] for c in result.members(t)] for t in range(len(result.populations))]


def everybody(result: Result) -> list[Candidate]:
    return [c for t in range(len(result.populations)) for c in result.members(t)]


def test_draws_are_uniform_over_subsets_and_independent_of_the_slot(scripted: Any) -> None:
    cfg = config(rounds=1)
    sampler = scripted(lambda _prompt, _seed: [97])
    drawn = Counter[tuple[int, ...]]()
    same = 0
    for i in range(200):
        population = run(sampler, cfg, run_id=str(i)).members(1)
        drawn.update(c.parents for c in population)
        same += population[0].parents == population[1].parents
    expected = 200 * 5 / 10
    chi2 = sum((drawn[s] - expected) ** 2 / expected for s in combinations(range(5), 3))
    assert set(drawn) == set(combinations(range(5), 3))
    assert chi2 < 27.9  # 9 degrees of freedom, p = 0.001; the seeds are fixed
    assert 10 <= same <= 30  # 200 / 10 if slots draw independently, 200 if they share a draw


def babble(prompt: str, seed: int) -> list[int]:
    """A think block that never closes, in one-byte characters."""
    rng = random.Random(f"{seed}:{prompt}")
    return [rng.choice(b"ab \n") for _ in range(500)]


@pytest.mark.parametrize(("c", "tau"), [(1, 1), (3, 12), (5, 40)])
def test_prompts_are_bounded_and_the_bound_is_tight(scripted: Any, c: int, tau: int) -> None:
    cfg = config(candidates=c, tail=tau, rounds=4)
    result = run(scripted(babble), cfg)
    plain = result.members(0)[0].tokens.prompt
    overhead = sum(len(p.encode()) for p in fixed_phrases("aggregate-v1", c))
    lengths = {x.tokens.prompt for t in range(1, 5) for x in result.members(t)}
    assert lengths == {plain + c * tau + overhead}, "full tails, so not one token less either"


def test_an_open_think_block_is_carried_and_has_no_answer(scripted: Any) -> None:
    for scope in ("full", "reasoning", "answer"):
        sampler = scripted(babble)
        result = run(sampler, config(tail_scope=scope))
        for c in everybody(result):
            assert (c.response, c.answer, c.vote, c.finish) == (None, None, None, "length")
            assert c.tail_ids == sampler.made[c.seed].token_ids.tolist()[-12:]
        assert result.answer is None
        assert result.refusal == "15 rollouts ended and none gives an answer: done"


@pytest.mark.parametrize("scope", ["reasoning", "full"])
def test_answers_enter_prompts_only_under_scope_full(scripted: Any, scope: str) -> None:
    sampler = scripted()
    result = run(sampler, config(tail_scope=scope, budget=400, tail=30))
    assert all(c.answer for c in result.members(0)), "else there is nothing to leak"
    prompts = [r.messages[-1].content for asked in by_round(sampler, result)[1:] for r in asked]
    if scope == "reasoning":
        assert not any("§" in p for p in prompts)
    else:  # negative control: the marker does show where it may
        assert all("§" in p for p in prompts)


def test_earlier_turns_are_kept_and_prompts_share_their_head(scripted: Any) -> None:
    sampler = scripted()
    asked = by_round(sampler, run(sampler, config(), CHAT))
    head = "".join(prompt_pieces(CHAT[:-1])).removesuffix("<|im_start|>assistant\n<think>")
    for request in (r for requests in asked[1:] for r in requests):
        assert request.messages[:-1] == CHAT[:-1]
        text = "".join(prompt_pieces(request.messages))
        assert text.startswith(head + "<|im_start|>user\n" + fixed_phrases("aggregate-v1", 1)[0])
        assert "Now 3*4?\nAttempt 1:\n" in text
        assert "Hi {number}" in text


def test_equal_parents_give_equal_prompts(scripted: Any) -> None:
    sampler = scripted()
    for requests in by_round(sampler, run(sampler, config(candidates=5))):
        assert len({r.messages for r in requests}) == 1
        assert len({r.params.seed for r in requests}) == 5


def test_substituted_tails_are_what_prompts_show(scripted: Any) -> None:
    calls: list[tuple[int, list[Any]]] = []

    async def foreign(round_: int, own: list[Any]) -> list[Any]:
        await asyncio.sleep(0)
        calls.append((round_, own))
        return [list(b"FOREIGN%d" % i) for i in range(len(own))]

    sampler, events = scripted(), list[Event]()
    result = run(sampler, config(), tails_from=foreign, on_event=events.append)
    assert calls == [
        (t, [c.tail_ids for c in result.members(t - 1)]) for t in (1, 2)
    ]  # own tails stay on record
    prompts = {e.id: e.prompt for e in events if isinstance(e, CandStart)}
    asked = by_round(sampler, result)
    for c in (c for t in (1, 2) for c in result.members(t)):
        shown = [f"Attempt {i}:\nFOREIGN{p}\n" for i, p in enumerate(c.parents, 1)]
        content = asked[c.round][c.slot].messages[-1].content
        assert "\n".join(s.rstrip() for s in shown) in content
        assert prompts[c.id] == content
    plain = run(scripted(), config()).members(0)
    assert [c.tail_ids for c in plain] == calls[0][1], "round 0 reads no tails"


@pytest.mark.parametrize("bad", [[[1]] * 4, [[1] * 13] * 5], ids=["too few", "too long"])
def test_substituted_tails_must_fit(scripted: Any, bad: list[list[int]]) -> None:
    async def tails_from(_round: int, _own: list[Any]) -> list[Any]:
        return bad

    with pytest.raises(AssertionError):
        run(scripted(), config(), tails_from=tails_from)


def test_every_prompt_can_be_built_from_the_events(scripted: Any) -> None:
    """As a page does it: template, question, tails of the parents."""
    sampler, events = scripted(), list[Event]()
    result = run(sampler, config(), CHAT, on_event=events.append)
    start = next(e for e in events if isinstance(e, RunStart))
    tails = {e.id: e.tail for e in events if isinstance(e, CandEnd)}
    asked = by_round(sampler, result)
    for e in (e for e in events if isinstance(e, CandStart) and e.round):
        assert e.prompt is None
        blocks = "".join(
            start.template["header"].replace("{number}", str(n)) + tails[f"{e.round - 1}.{p}"]
            for n, p in enumerate(e.parents, 1)
        )
        built = start.template["head"] + start.question + blocks + start.template["close"]
        assert built == asked[e.round][e.slot].messages[-1].content


def test_events_tell_the_whole_run(scripted: Any) -> None:
    events: list[Event] = []
    result = run(scripted(), config(), on_event=events.append)
    kinds = Counter(e.type for e in events)
    assert kinds == {
        "run.start": 1, "round.start": 3, "cand.start": 15, "cand.end": 15, "round.end": 3,
        "run.stop": 1, "final.delta": 1, "run.end": 1,
    }  # fmt: skip
    assert [events[0].type, *(e.type for e in events[-3:])] == [
        "run.start", "run.stop", "final.delta", "run.end"
    ]  # fmt: skip
    assert [e.at for e in events] == sorted(e.at for e in events)
    ended: set[str] = set()
    for e in events:
        if isinstance(e, CandStart):
            assert {f"{e.round - 1}.{p}" for p in e.parents} <= ended
        if isinstance(e, CandEnd):
            ended.add(e.id)
    for e in events:
        row = e.to_json()
        assert next(iter(row)) == "type" and from_json(row) == e
    tokens = [e.tokens for e in events if isinstance(e, CandEnd)]
    usage = events[-1].to_json()["usage"]
    for key in ("prompt", "cached", "decode", "reasoning"):
        assert usage[f"{key}_tokens"] == sum(t[key] for t in tokens)
    assert events[-1].to_json()["answer"] == result.answer
    assert events[-2].to_json()["text"] == result.response


def test_what_streams_is_told_in_pieces(scripted: Any) -> None:
    class Streaming(scripted):
        async def sample(self, requests: Any) -> Any:
            (done,) = await super().sample(requests)
            for piece in ("first ", "then"):
                requests[0].on_text(piece)
                await asyncio.sleep(0.25)
            return [done]

    events: list[Event] = []
    run(Streaming(), config(rounds=0, population=3), on_event=events.append)
    told = [e.to_json() for e in events if e.type == "cand.delta"]
    assert [t["text"] for t in told if t["id"] == "0.1"] == ["first ", "then"]
    plain = scripted()
    run(plain, config())
    assert all(r.on_text is None for r in plain.asked), "nobody listens: samplers need not stream"


class Counting:
    """One token a character."""

    def prompt_ids(self, messages: tuple[Message, ...]) -> list[int]:
        return [0] * sum(len(m.content) for m in messages)


@pytest.mark.parametrize(
    ("changes", "messages", "says"),
    [
        ({"template": "aggregate-v0"}, Q, "aggregate-v0"),
        ({}, (), "user's turn"),
        ({}, CHAT[:-1], "user's turn"),
        ({"selection": "best"}, Q, "verifier"),
        ({"context": 75}, Q, "round 1 may need 36 prompt tokens, 3 tails of 12 among them, and 40"),
        ({"context": 39}, Q, "round 0 may need 0 prompt tokens, and 40 to write"),
        ({"limits": {"tokens": 39}}, Q, "limits.tokens 39"),
        ({"limits": {"money": 1e-6}, "prices": {"decode": 1}}, Q, "limits.money"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_nothing_is_spent_on_a_run_that_cannot_be(
    scripted: Any, changes: dict[str, Any], messages: tuple[Message, ...], says: str
) -> None:
    sampler = scripted()
    for go in (lambda: run(sampler, config(**changes), messages),
               lambda: check(messages, sampler, config(**changes))):  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            go()
    assert sampler.asked == []


def test_the_context_counts_the_problem_where_it_can(scripted: Any) -> None:
    sampler = scripted()
    sampler.tokenizer = Counting()
    words = len(Q[0].content) + sum(map(len, fixed_phrases("aggregate-v1", 3)))
    fits = 3 * 12 + words + 60
    check(Q, sampler, config(context=fits))
    sampler.context_length = fits - 1
    with pytest.raises(ConfigError, match="round 2"):
        check(Q, sampler, config())
    check(Q, sampler, config(context=fits)), "what is given counts before what the sampler says"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["tail=50000"], "tail 50000 is longer than the budget 40960"),
        (["candidates=17"], "candidates 17 cannot be drawn from population 16"),
        (["min_population=17"], "min_population 17"),
        (["widths=[16, 4]"], "3 rounds"),
        (["widths=[8, 4, 2]"], "widths begin with 8"),
        (["widths=[16, 4, 2]", "final_population=1"], "contradict"),
        (["candidates=1", "final_population=20"], "wider"),
        (["early_stop.share=0.5"], "greater than 0.5"),
        (["limits.seconds=0"], "greater than 0"),
        (["limits.money=1"], "needs prices"),
        (["buget=3"], "unknown key"),
    ],
)
def test_numbers_that_do_not_fit(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        preset("paper", overrides)


def test_presets_are_known_by_name() -> None:
    with pytest.raises(ConfigError, match="extra-hihg") as error:
        preset("extra-hihg")
    assert "extra-high" in error.value.hint
    assert preset("paper", ["rounds=3"]).rounds == 3
