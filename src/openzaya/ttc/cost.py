"""What a run has cost, for every method in the same terms: tokens read, spared, written; seconds;
money."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from openzaya.config.rsa import Prices
from openzaya.ttc.population import Tokens


def money(tokens: Tokens, prices: Prices) -> float:
    """In the currency of `prices`; cached prompt tokens have a price of their own."""
    fresh = tokens.prompt - tokens.cached
    spent = fresh * prices.prefill + tokens.cached * prices.cached + tokens.decode * prices.decode
    return spent / 1e6


@dataclass(slots=True)
class Cost:
    """Sums over rollouts, those that failed included."""

    prices: Prices
    rounds: list[Tokens] = field(default_factory=list)
    """Of each round, round 0 first."""
    generations: int = 0
    """Rollouts that ended well."""
    failures: int = 0
    """Rollouts that failed for good."""
    seconds: float = 0.0
    """Wall time of the run."""
    rollout_seconds: float = 0.0
    """Sum over rollouts."""

    def add(self, round_: int, tokens: Tokens, seconds: float, *, failed: bool) -> None:
        """A rollout has ended."""
        self.generations += not failed
        self.failures += failed
        self.rounds += [Tokens()] * (round_ + 1 - len(self.rounds))
        self.rounds[round_] = self.rounds[round_].plus(tokens)
        self.rollout_seconds += seconds

    @property
    def tokens(self) -> Tokens:
        return Tokens(*map(sum, zip(*self.rounds, strict=True))) if self.rounds else Tokens()

    @property
    def decode_tokens(self) -> int:
        """The report's D(q)."""
        return self.tokens.decode

    @property
    def prefill_tokens(self) -> int:
        """Read, whatever a cache has spared."""
        return self.tokens.prompt

    @property
    def decode_by_round(self) -> list[int]:
        return [t.decode for t in self.rounds]

    @property
    def prefill_by_round(self) -> list[int]:
        return [t.prompt for t in self.rounds]

    @property
    def money(self) -> float:
        return money(self.tokens, self.prices)

    def to_json(self) -> dict[str, Any]:
        """Usage of a whole run."""
        t = self.tokens
        return {
            "prompt_tokens": t.prompt,
            "cached_tokens": t.cached,
            "decode_tokens": t.decode,
            "reasoning_tokens": t.reasoning,
            "generations": self.generations,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "rollout_seconds": round(self.rollout_seconds, 3),
            "money": self.money,
            "rounds": [r._asdict() for r in self.rounds],
        }
