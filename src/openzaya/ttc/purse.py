"""What a run may still spend. A rollout is started only if its whole budget still fits."""

from __future__ import annotations

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.cost import money
from openzaya.ttc.population import NONE, Tokens


class Purse:
    """Spent, and set aside for the rollouts on their way."""

    def __init__(self, config: RSAConfig) -> None:
        self.limits, self.prices = config.limits, config.prices
        self.spent = NONE
        self._aside: dict[tuple[int, int], Tokens] = {}

    def refusal(self, most: Tokens = NONE) -> str:
        """Why a rollout of at most `most` tokens cannot be paid; empty if it can."""
        if self.limits.tokens is None and self.limits.money is None:
            return ""
        held = self.spent
        for tokens in self._aside.values():
            held = held.plus(tokens)
        after = held.plus(most)
        if (limit := self.limits.tokens) is not None and after.decode > limit:
            return f"of {limit} tokens {held.decode} are spent, a rollout may take {most.decode}"
        if (limit := self.limits.money) is not None and money(after, self.prices) > limit:
            spent, more = money(held, self.prices), money(most, self.prices)
            return f"of {limit:g} (money) {spent:.4g} is spent, a rollout may take {more:.4g}"
        return ""

    def reserve(self, round_: int, slot: int, most: Tokens) -> None:
        self._aside[round_, slot] = most

    def release(self, round_: int, slot: int) -> None:
        self._aside.pop((round_, slot), None)

    def pay(self, tokens: Tokens) -> None:
        self.spent = self.spent.plus(tokens)
