"""Markovian RSA over any `Sampler` (report arXiv 2605.05365; RSA: arXiv 2509.26626).

    P_0     = { tail_tau(y_i),   y_i ~ pi(. | q),                       i = 1..N }
    P_t     = { tail_tau(y_i),   y_i ~ pi(. | aggregate(q, S_i)),       i = 1..N },  t = 1..T
    S_i     = C tails of P_{t-1}, uniform without replacement, independent across i

One run is a pure function of (messages, sampler, config, run_id): every rollout and every draw
has a seed of its own. Left out: failed rollouts (a `Sampler` answers every request), early stop
on agreement, a journal to resume from.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.prompts import aggregation_messages, find_template
from openzaya.ttc.tails import tail_ids
from openzaya.types import Completion, Message, Request, Sampler, SamplingParams

TailsFrom = Callable[[int, list[list[int]]], Awaitable[list[list[int]]]]
"""(round that will read them, own tails of the round before) -> the N tails to use instead."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rollout of the population. `parents` are the slots whose tails its prompt showed."""

    round: int
    slot: int
    parents: tuple[int, ...]
    seed: int
    completion: Completion
    tail_ids: list[int]

    @property
    def answer(self) -> str | None:
        return self.completion.answer


@dataclass(slots=True)
class Cost:
    """Tokens of a run, written (decode) and read (prefill, whatever a cache may have saved)."""

    decode_by_round: list[int] = field(default_factory=list)
    prefill_by_round: list[int] = field(default_factory=list)
    generations: int = 0

    @property
    def decode_tokens(self) -> int:
        return sum(self.decode_by_round)

    @property
    def prefill_tokens(self) -> int:
        return sum(self.prefill_by_round)


@dataclass(slots=True)
class RSAResult:
    """Populations P_0 .. P_T, each in slot order, and what they cost.

    The report scores the mean correctness of P_T; `vote.majority` makes one answer of it.
    """

    populations: list[list[Candidate]]
    cost: Cost

    def completions(self, round_: int) -> list[Completion]:
        return [c.completion for c in self.populations[round_]]


def derived_seed(*parts: object) -> int:
    """63 bits from (run seed, run id, round, slot, ...), stable across processes and versions."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


async def markovian_rsa(
    messages: tuple[Message, ...],
    sampler: Sampler,
    config: RSAConfig,
    *,
    run_id: str,
    on_event: Callable[[Candidate], None] | None = None,
    tails_from: TailsFrom | None = None,
) -> RSAResult:
    """Run N * (T + 1) rollouts on the conversation `messages` (it ends with a user turn).

    Rounds 0 .. T-1 may write `config.budget` tokens per rollout, round T `config.final_budget`.
    Each round is one call of the sampler. `run_id` separates the random streams of different
    problems under one seed. `tails_from` substitutes the tails that a round's prompts draw from
    (controls). `on_event` hears of every candidate, in slot order, when its round has ended.
    Raises ConfigError for an unknown template, before any token is spent.
    """
    find_template(config.template)
    assert messages and messages[-1].role == "user", "a conversation to answer ends with the user"
    populations: list[list[Candidate]] = []
    cost = Cost()
    for round_ in range(config.rounds + 1):
        tails = [c.tail_ids for c in populations[-1]] if populations else []
        if tails and tails_from is not None:
            tails = await tails_from(round_, tails)
            assert len(tails) == config.population, "one tail per slot"
            assert all(len(t) <= config.tail for t in tails), "a prompt holds at most C * tau"
        texts = [await sampler.detokenize(t) for t in tails]
        last = round_ == config.rounds
        budget = (config.final_budget if last else None) or config.budget
        plans, requests = [], []
        for slot in range(config.population):
            seed = derived_seed(config.seed, run_id, round_, slot)
            parents = _parents(config, run_id, round_, slot) if round_ else ()
            prompt = messages
            if round_:
                prompt = aggregation_messages(
                    messages, [texts[p] for p in parents], config.template
                )
            params = SamplingParams(budget, config.temperature, config.top_p, seed)
            plans.append((parents, seed))
            requests.append(Request(prompt, params))
        completions = await sampler.sample(requests)
        population = [
            Candidate(
                round_, slot, parents, seed, completion,
                tail_ids(completion, config.tail, config.tail_scope, sampler.think_ids),
            )
            for slot, ((parents, seed), completion) in enumerate(
                zip(plans, completions, strict=True)
            )
        ]  # fmt: skip
        if on_event is not None:
            for candidate in population:
                on_event(candidate)
        populations.append(population)
        cost.decode_by_round.append(sum(len(c.token_ids) for c in completions))
        cost.prefill_by_round.append(sum(len(c.prompt_ids) for c in completions))
        cost.generations += len(completions)
    return RSAResult(populations, cost)


def _parents(config: RSAConfig, run_id: str, round_: int, slot: int) -> tuple[int, ...]:
    """C slots of the round before, uniform without replacement, in slot order (equal subsets then
    share a whole prompt). C = 1 continues a slot's own tail: nothing is mixed."""
    if config.candidates == 1:
        return (slot,)
    rng = random.Random(derived_seed(config.seed, run_id, round_, slot, "parents"))
    return tuple(sorted(rng.sample(range(config.population), config.candidates)))
