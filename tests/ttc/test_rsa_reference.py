"""Every method against a naive reference, token by token: presets, special points, any config."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.rsa import PRESETS, RSAConfig, preset
from openzaya.ttc import Result, derived_seed, fixed_phrases, reason
from openzaya.ttc.prompts import find_template, template_of
from openzaya.types import Message, Request, SamplingParams

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
    return RSAConfig(**(small | changes))


def run(sampler: Any, cfg: RSAConfig, messages: tuple[Message, ...] = Q, **more: Any) -> Result:
    options: dict[str, Any] = {"run_id": "p1"} | more
    if cfg.selection == "best":
        options |= {"score": lambda c: len(c.tail)}
    return asyncio.run(reason(messages, sampler, cfg, **options))


def rows(result: Result, sampler: Any) -> list[list[tuple[Any, ...]]]:
    """Everything that two equal runs share, in comparable form."""
    return [
        [
            (c.round, c.slot, c.parents, c.seed, c.tail_ids, c.response,
             sampler.made[c.seed].prompt_ids.tolist(), sampler.made[c.seed].token_ids.tolist())
            for c in population if c is not None
        ]
        for population in result.populations
    ]  # fmt: skip


def reference(sampler: Any, cfg: RSAConfig, messages: Sequence[Message]) -> list[list[Any]]:
    """The algorithm of the report once more, as a page of plain code that shares nothing."""

    def seed_of(*parts: object) -> int:
        digest = hashlib.blake2b(repr((cfg.seed, "p1", *parts)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") // 2

    words = find_template(template_of(cfg))
    table: list[list[Any]] = []
    for t in range(cfg.rounds + 1):
        table.append([])
        final = t == cfg.rounds
        wide = cfg.population
        if cfg.widths:
            wide = cfg.widths[t]
        elif final and t > 0 and cfg.final_population is not None:
            wide = cfg.final_population
        elif final and t > 0 and cfg.selection == "aggregate":
            wide = 1
        for slot in range(wide):
            parents, text = [], messages[-1].content
            if t > 0:
                before = len(table[t - 1])
                rng = random.Random(seed_of(t, slot, "parents"))
                parents = rng.sample(range(before), min(cfg.candidates, before))
                if cfg.candidates == 1:
                    parents = [slot]
                if cfg.order == "slot":
                    parents.sort()
                text = words.head + text
                for number, parent in enumerate(parents, 1):
                    shown = bytes(table[t - 1][parent][4]).decode(errors="replace")
                    text += words.header.replace("{number}", str(number)) + shown
                text += words.close
            limit = cfg.final_budget if final and cfg.final_budget is not None else cfg.budget
            seed = seed_of(t, slot)
            turns = (*messages[:-1], Message("user", text))
            params = SamplingParams(limit, cfg.temperature, cfg.top_p, seed, cfg.top_k)
            if final:
                params = SamplingParams(
                    limit,
                    cfg.temperature if cfg.final_temperature is None else cfg.final_temperature,
                    cfg.top_p if cfg.final_top_p is None else cfg.final_top_p,
                    seed,
                    cfg.top_k if cfg.final_top_k is None else cfg.final_top_k,
                )
            request = Request(turns, params)
            done = sampler.complete(request)
            ids = done.token_ids.tolist()
            kept = [i for i in ids if i < 256]
            if 257 in ids and cfg.tail_scope != "full":
                said = [i for i in ids[ids.index(257) :] if i < 256]
                thought = [i for i in ids[: ids.index(257)] if i < 256]
                kept = said if said and cfg.tail_scope == "answer" else thought
            while len(kept) > cfg.tail:
                kept.pop(0)
            table[-1].append(
                (t, slot, tuple(parents), seed, kept, done.answer,
                 done.prompt_ids.tolist(), ids, request)
            )  # fmt: skip
    return table


configs = st.builds(
    lambda n, c, budget, tail, **rest: config(
        population=n, candidates=min(c, n), budget=budget, tail=min(tail, budget), **rest
    ),
    n=st.integers(1, 6),
    c=st.integers(1, 6),
    budget=st.integers(1, 90),
    tail=st.integers(1, 90),
    rounds=st.integers(0, 3),
    final_budget=st.none() | st.integers(1, 90),
    tail_scope=st.sampled_from(["full", "reasoning", "answer"]),
    order=st.sampled_from(["slot", "drawn"]),
    temperature=st.sampled_from([0.0, 0.6, 1.0]),
    final_temperature=st.sampled_from([None, 0.0, 0.6]),
    top_p=st.sampled_from([0.95, 1.0]),
    final_top_k=st.sampled_from([None, 0, 40]),
    selection=st.sampled_from(["majority", "aggregate", "uniform"]),
    template=st.sampled_from(["aggregate-v1", None]),
    kind=st.sampled_from(["math", "choice", "code", "free", "puzzle"]),
    barrier=st.booleans(),
    concurrency=st.none() | st.integers(1, 3),
    seed=st.integers(0, 2**40),
)
SPECIAL_POINTS = [
    {"rounds": 0},
    {"candidates": 1},
    {"candidates": 5},
    {"tail": 40},
    {"population": 1, "candidates": 1},
    {"final_budget": None},
    {"tail_scope": "reasoning"},
    {"selection": "aggregate"},
    {"widths": (5, 2, 1), "candidates": 5, "tail_scope": "answer", "order": "drawn"},
    {"final_population": 2, "final_temperature": 0.6, "final_top_p": 0.95, "final_top_k": 40},
]


def check_against_reference(sampler: Any, cfg: RSAConfig, messages: tuple[Message, ...]) -> None:
    result, expected = run(sampler, cfg, messages), reference(sampler, cfg, messages)
    assert rows(result, sampler) == [[row[:8] for row in p] for p in expected]
    assert (result.stop, result.refusal is None) == ("done", result.answer is not None)
    cost, n = result.cost, sum(map(len, expected))
    assert cost.generations == n == cfg.generations
    assert cost.decode_by_round == [sum(len(row[7]) for row in p) for p in expected]
    assert cost.prefill_by_round == [sum(len(row[6]) for row in p) for p in expected]
    assert cost.decode_tokens == sum(len(row[7]) for p in expected for row in p)
    thought = [ids.index(257) if 257 in ids else len(ids) for p in expected for *_, ids, _ in p]
    assert cost.tokens.reasoning == sum(thought)
    # Requests, not only what came back: a parameter that the script ignores counts too.
    asked = {r.params.seed: r for r in sampler.asked}
    assert len(sampler.asked) == len(asked) == n
    for row in (row for p in expected for row in p):
        assert asked[row[3]] == row[8]


@pytest.mark.parametrize("changes", SPECIAL_POINTS, ids=str)
@pytest.mark.parametrize("messages", [Q, CHAT], ids=["single turn", "multi turn"])
def test_special_points_equal_the_reference(
    scripted: Any, changes: dict[str, Any], messages: tuple[Message, ...]
) -> None:
    check_against_reference(scripted(), config(**changes), messages)


SHRUNK = ("budget", "tail", "final_budget")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_equals_the_reference(scripted: Any, name: str) -> None:
    """With N, C, T and the rest as they are; tokens by the thousand are counted as tokens."""
    whole = preset(name)
    by = 1024 if whole.budget >= 8192 else 8
    smaller = [f"{k}={v // by}" for k in SHRUNK if (v := getattr(whole, k)) is not None]
    check_against_reference(scripted(), preset(name, smaller), CHAT)


@given(cfg=configs)
@settings(max_examples=60, deadline=None)
def test_every_config_equals_the_reference(scripted: Any, cfg: RSAConfig) -> None:
    check_against_reference(scripted(), cfg, CHAT)


@pytest.mark.parametrize("changes", [{"tail": 11}, {"seed": 1}, {"tail_scope": "reasoning"}])
def test_the_reference_tells_configs_apart(scripted: Any, changes: dict[str, Any]) -> None:
    """Negative control."""
    sampler = scripted()
    expected = reference(sampler, config(**changes), Q)
    assert rows(run(sampler, config()), sampler) != [[row[:8] for row in p] for p in expected]


def test_the_presets_are_the_published_ones() -> None:
    """Literals: (T, N, C, beta, tau, final budget, rollouts)."""

    def letters(name: str) -> tuple[Any, ...]:
        c = preset(name)
        return (
            c.rounds, c.population, c.candidates, c.budget, c.tail, c.final_budget, c.generations
        )  # fmt: skip

    k = 1024
    assert letters("paper") == (2, 16, 4, 40 * k, 4 * k, 40 * k, 48)
    assert letters("deploy") == (2, 16, 4, 16 * k, 4 * k, 40 * k, 48)
    assert letters("light") == (2, 16, 4, 8 * k, 4 * k, 40 * k, 48)
    assert letters("high") == (8, 16, 4, 16 * k, 4 * k, 40 * k, 144)
    assert letters("extra-high") == (8, 32, 4, 32 * k, 4 * k, 40 * k, 288)
    assert letters("zyphra-proxy") == (8, 32, 4, 32768, 4096, 61440, 257)
    assert letters("delethink")[:5] == (4, 16, 1, 8 * k, 4 * k)
    proxy = preset("zyphra-proxy")
    assert (proxy.temperature, proxy.top_p, proxy.top_k) == (1.0, 1.0, 0)
    assert (proxy.final_temperature, proxy.final_top_p, proxy.final_top_k) == (0.6, 0.95, 40)


async def at_random(rng: random.Random) -> None:
    for _ in range(rng.randint(0, 9)):
        await asyncio.sleep(0)


@pytest.mark.parametrize("changes", [{}, {"candidates": 1}, {"concurrency": 2}], ids=str)
@pytest.mark.parametrize("speed", range(4))
def test_nothing_depends_on_what_ends_first(
    scripted: Any, changes: dict[str, Any], speed: int
) -> None:
    """The same run, whatever order its rollouts end in, with rounds that overlap or do not."""

    class Uneven(scripted):
        rng, order = random.Random(speed), list[int]()

        async def sample(self, requests: Sequence[Request]) -> Any:
            await at_random(self.rng)
            self.order.append(requests[0].params.seed)
            return await super().sample(requests)

    cfg = config(population=6, rounds=3, **changes)
    even, uneven, held = scripted(), Uneven(), Uneven()
    expected = rows(run(even, cfg), even)
    assert rows(run(uneven, cfg), uneven) == expected
    assert rows(run(held, cfg.model_copy(update={"barrier": True})), held) == expected
    assert uneven.order != [r.params.seed for r in even.asked], "else nothing was shuffled"


def test_rounds_overlap_without_a_barrier_only(scripted: Any) -> None:
    """One straggler holds up those that read its tail, and with a barrier everybody."""

    class Straggling(scripted):
        async def sample(self, requests: Sequence[Request]) -> Any:
            if requests[0].params.seed == derived_seed(0, "p1", 0, 0):
                await asyncio.sleep(0.05)
            return await super().sample(requests)

    def before_the_straggler(cfg: RSAConfig) -> set[tuple[int, int]]:
        events: list[Any] = []
        run(Straggling(), cfg, on_event=events.append)
        ids = [e.id for e in events if e.type == "cand.end"]
        assert Counter(ids).most_common(1)[0][1] == 1
        first = ids[: ids.index("0.0")]
        return {(int(t), int(s)) for t, s in (i.split(".") for i in first)}

    cfg = config(candidates=2)
    free = before_the_straggler(cfg)
    parents = {c.id: c.parents for p in run(scripted(), cfg).populations for c in p if c}
    waits = {"0.0"}
    for name, of in parents.items():
        if any(f"{int(name[0]) - 1}.{p}" in waits for p in of):
            waits.add(name)
    assert free == {(int(n[0]), int(n[2])) for n in parents if n not in waits}
    assert any(t > 0 for t, _ in free), "else the test shows nothing"
    held = before_the_straggler(cfg.model_copy(update={"barrier": True}))
    assert held == {(0, s) for s in range(1, 5)}


def test_a_run_is_reproducible(scripted: Any) -> None:
    first, again, other, third = scripted(), scripted(), scripted(), scripted()
    expected = rows(run(first, config()), first)
    assert rows(run(again, config()), again) == expected
    seeds = {row[3] for p in expected for row in p}
    assert rows(run(other, config(seed=1)), other) != expected
    assert rows(run(third, config(), run_id="p2"), third) != expected
    assert seeds.isdisjoint(other.made) and seeds.isdisjoint(third.made)


def test_seeds_are_stable_across_processes_and_versions(scripted: Any) -> None:
    """Literals: a run from last year must be the same run today."""
    assert derived_seed(0, "p1", 0, 0) == 5963569018323225194
    result = run(scripted(), config(population=16, candidates=4))
    parents = [c.parents for c in result.members(1)]
    assert parents[:3] == [(1, 4, 10, 13), (9, 12, 13, 14), (3, 10, 13, 15)]


def test_interleaved_runs_equal_runs_alone(scripted: Any) -> None:
    sampler = scripted()

    async def both() -> list[Result]:
        return await asyncio.gather(
            *(reason(Q, sampler, config(), run_id=name) for name in ("p1", "p2"))
        )

    for name, together in zip(("p1", "p2"), asyncio.run(both()), strict=True):
        alone = scripted()
        assert rows(together, sampler) == rows(run(alone, config(), run_id=name), alone)


@given(cfg=configs)
@settings(max_examples=40, deadline=None)
def test_parents_are_distinct(scripted: Any, cfg: RSAConfig) -> None:
    result = run(scripted(), cfg)
    assert all(c.parents == () for c in result.members(0))
    for c in (c for t in range(1, cfg.rounds + 1) for c in result.members(t)):
        assert len(set(c.parents)) == cfg.candidates
        assert cfg.order == "drawn" or list(c.parents) == sorted(c.parents)
        assert set(c.parents) <= set(range(cfg.population))
        if cfg.candidates == 1:
            assert c.parents == (c.slot,)


@given(cfg=configs)
@settings(max_examples=40, deadline=None)
def test_prompts_are_bounded_whatever_is_cut(scripted: Any, cfg: RSAConfig) -> None:
    """A cut inside a character leaves up to three orphan bytes at the start and one broken
    character at the end of a tail; each turns into U+FFFD, three bytes: at most 8 more a tail."""
    result = run(scripted(), cfg)
    plain = result.members(0)[0].tokens.prompt
    overhead = sum(len(p.encode()) for p in fixed_phrases(template_of(cfg), cfg.candidates))
    for c in (c for t in range(1, cfg.rounds + 1) for c in result.members(t)):
        assert c.tokens.prompt <= plain + cfg.candidates * (cfg.tail + 8) + overhead
