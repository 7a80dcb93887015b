"""One answer from what a run has made: never nothing while anything answers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.kinds import find_marked
from openzaya.ttc.population import Candidate
from openzaya.ttc.vote import majority, tally

Populations = Sequence[Sequence[Candidate | None]]
Scorer = Callable[[Candidate], float]
"""A verifier for best-of-N: the higher, the better; not a number is the worst."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`votes` and `agreement` are those of the round that the answer comes from."""

    answer: str | None = None
    response: str | None = None
    """The text to show: all that the chosen rollout said."""
    chosen: Candidate | None = None
    votes: Mapping[str, int] = field(default_factory=dict)
    agreement: float = 0.0


def choose(
    config: RSAConfig,
    run_id: str,
    populations: Populations,
    unfinished: Sequence[str] = (),
    score: Scorer | None = None,
) -> Choice:
    """The answer of a run, whole or stopped. In this order: the last round with enough votes, any
    round with most votes, any response, an answer marked in a tail or in `unfinished` texts."""
    round_ = _deciding_round(config, populations)
    if round_ is not None:
        return _by_selection(config, run_id, populations[round_], score)
    latest = [c for population in reversed(populations) for c in population if c is not None]
    for c in latest:
        if c.response and c.response.strip():
            return Choice(c.response.strip(), c.response, c)
    for c in latest:
        if marked := find_marked(c.tail):
            return Choice(marked, marked, c)
    for text in unfinished:
        if marked := find_marked(text):
            return Choice(marked, marked)
    return Choice()


def votes_of(population: Sequence[Candidate | None]) -> list[str | None]:
    return [None if c is None else c.vote for c in population]


def _deciding_round(config: RSAConfig, populations: Populations) -> int | None:
    """The last one with as many votes as a prompt has tails (whole runs: with any in round T); else
    the one with most, the latest of equals."""
    counts = [sum(v is not None for v in votes_of(p)) for p in populations]
    enough = config.min_population or config.candidates
    for t in range(len(populations) - 1, -1, -1):
        last = t == config.rounds and len(populations[t]) == config.width(t)
        complete = last and all(c is not None for c in populations[t])
        if counts[t] >= min(enough, config.width(t)) or (complete and counts[t]):
            return t
    most = max(counts, default=0)
    return max(t for t, n in enumerate(counts) if n == most) if most else None


def _by_selection(
    config: RSAConfig,
    run_id: str,
    population: Sequence[Candidate | None],
    score: Scorer | None,
) -> Choice:
    votes = votes_of(population)
    winner, agreement = majority(votes, str)
    voters = [c for c in population if c is not None and c.vote is not None]
    if config.selection == "uniform":
        rng = random.Random(derived_seed(config.seed, run_id, "uniform"))
        chosen = rng.choice(voters)
    elif config.selection == "best":
        assert score is not None, "checked before the run"
        chosen = max(voters, key=lambda c: _number(score(c)))  # the earliest of equals
    else:
        chosen = next(c for c in voters if c.vote == winner)
    return Choice(chosen.answer, chosen.response, chosen, tally(votes), agreement)


def _number(score: float) -> float:
    return -math.inf if math.isnan(score) else score
