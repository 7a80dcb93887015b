"""What Markovian RSA promises: bounds, scopes, fair draws, kept turns, controls."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from openzaya.chat import prompt_pieces
from openzaya.config.rsa import RSAConfig
from openzaya.errors import ConfigError
from openzaya.ttc import Candidate, RSAResult, fixed_phrases, markovian_rsa
from openzaya.types import Message

Q = (Message("user", "What is 12+7?\nOne line. 🙂"),)
CHAT = (
    Message("system", "Be terse."),
    Message("user", "Hi {number}"),
    Message("assistant", "Hello.", reasoning="a greeting"),
    Message("user", "Now 3*4?"),
)


def config(**changes: Any) -> RSAConfig:
    small: dict[str, Any] = dict(
        population=5, candidates=3, rounds=2, tail=12, budget=40, final_budget=60
    )
    return RSAConfig(**(small | changes))


def run(sampler: Any, cfg: RSAConfig, messages: tuple[Message, ...] = Q, **more: Any) -> RSAResult:
    options: dict[str, Any] = {"run_id": "p1"} | more
    return asyncio.run(markovian_rsa(messages, sampler, cfg, **options))


def test_draws_are_uniform_over_subsets_and_independent_of_the_slot(scripted: Any) -> None:
    cfg = config(rounds=1)
    sampler = scripted(lambda _prompt, _seed: [97])
    drawn = Counter[tuple[int, ...]]()
    same = 0
    for i in range(200):
        population = run(sampler, cfg, run_id=str(i)).populations[1]
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
    plain = len(result.populations[0][0].completion.prompt_ids)
    overhead = sum(len(p.encode()) for p in fixed_phrases(cfg.template, c))
    lengths = {len(x.completion.prompt_ids) for p in result.populations[1:] for x in p}
    assert lengths == {plain + c * tau + overhead}, "full tails, so not one token less either"


def test_an_open_think_block_is_carried_and_has_no_answer(scripted: Any) -> None:
    for scope in ("full", "reasoning"):
        result = run(scripted(babble), config(tail_scope=scope))
        for c in (c for p in result.populations for c in p):
            assert c.answer is None and c.completion.answer is None
            assert c.tail_ids == c.completion.token_ids.tolist()[-12:]


@pytest.mark.parametrize("scope", ["reasoning", "full"])
def test_answers_enter_prompts_only_under_scope_full(scripted: Any, scope: str) -> None:
    sampler = scripted()
    result = run(sampler, config(tail_scope=scope, budget=400, tail=30))
    assert all(c.answer for c in result.populations[0]), "else there is nothing to leak"
    prompts = [r.messages[-1].content for batch in sampler.batches[1:] for r in batch]
    if scope == "reasoning":
        assert not any("§" in p for p in prompts)
    else:  # negative control: the marker does show where it may
        assert all("§" in p for p in prompts)


def test_earlier_turns_are_kept_and_prompts_share_their_head(scripted: Any) -> None:
    sampler = scripted()
    run(sampler, config(), CHAT)
    head = "".join(prompt_pieces(CHAT[:-1])).removesuffix("<|im_start|>assistant\n<think>")
    for batch in sampler.batches[1:]:
        for request in batch:
            assert request.messages[:-1] == CHAT[:-1]
            text = "".join(prompt_pieces(request.messages))
            assert text.startswith(
                head + "<|im_start|>user\n" + fixed_phrases("aggregate-v1", 1)[0]
            )
            assert "Now 3*4?\nAttempt 1:\n" in text
            assert "Hi {number}" in text


def test_equal_parents_give_equal_prompts(scripted: Any) -> None:
    sampler = scripted()
    run(sampler, config(candidates=5))
    for batch in sampler.batches[1:]:
        assert len({r.messages for r in batch}) == 1
        assert len({r.params.seed for r in batch}) == 5


def test_substituted_tails_are_what_prompts_show(scripted: Any) -> None:
    calls: list[tuple[int, list[list[int]]]] = []

    async def foreign(round_: int, own: list[list[int]]) -> list[list[int]]:
        calls.append((round_, own))
        return [list(b"FOREIGN%d" % i) for i in range(len(own))]

    sampler = scripted()
    result = run(sampler, config(), tails_from=foreign)
    assert calls == [
        (t, [c.tail_ids for c in result.populations[t - 1]]) for t in (1, 2)
    ]  # own tails stay on record
    for batch, population in zip(sampler.batches[1:], result.populations[1:], strict=True):
        for request, c in zip(batch, population, strict=True):
            shown = [f"Attempt {i}:\nFOREIGN{p}\n" for i, p in enumerate(c.parents, 1)]
            assert "\n".join(s.rstrip() for s in shown) in request.messages[-1].content
    plain = run(scripted(), config()).populations[0]
    assert [c.tail_ids for c in plain] == calls[0][1], "round 0 reads no tails"


@pytest.mark.parametrize("bad", [[[1]] * 4, [[1] * 13] * 5], ids=["too few", "too long"])
def test_substituted_tails_must_fit(scripted: Any, bad: list[list[int]]) -> None:
    async def tails_from(_round: int, _own: list[list[int]]) -> list[list[int]]:
        return bad

    with pytest.raises(AssertionError):
        run(scripted(), config(), tails_from=tails_from)


def test_events_come_once_per_candidate_in_order(scripted: Any) -> None:
    seen: list[Candidate] = []
    result = run(scripted(), config(), on_event=seen.append)
    assert seen == [c for p in result.populations for c in p]
    assert [(c.round, c.slot) for c in seen] == [(t, s) for t in range(3) for s in range(5)]


def test_nothing_is_spent_on_a_run_that_cannot_finish(scripted: Any) -> None:
    sampler = scripted()
    with pytest.raises(ConfigError, match="aggregate-v0"):
        run(sampler, config(template="aggregate-v0"))
    for messages in ((), CHAT[:-1]):
        with pytest.raises(AssertionError):
            run(sampler, config(), messages)
    assert sampler.batches == []
