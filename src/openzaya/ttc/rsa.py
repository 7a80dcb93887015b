"""The algorithm, over any `Sampler`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.prompts import aggregation_messages
from openzaya.ttc.tails import tail_ids
from openzaya.types import Completion, Message, Request, Sampler, SamplingParams

TailsFrom = Callable[[int, list[list[int]]], list[list[int]]]


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
    """Tokens of a run; `decode_by_round` sums to `decode_tokens`."""

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
    """Populations P_0 .. P_T and what they cost."""

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

    `run_id` separates the random streams of different problems under one seed. `tails_from`
    substitutes the tails that a round's prompts draw from (controls). `on_event` hears of every
    finished candidate.
    """
    populations: list[list[Candidate]] = []
    cost = Cost()
    for round_ in range(config.rounds + 1):
        tails = [c.tail_ids for c in populations[-1]] if populations else []
        if tails and tails_from is not None:
            tails = tails_from(round_, tails)
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
