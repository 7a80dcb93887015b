"""Equations in whole numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import gcd, isqrt
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.number_theory import factors
from openzaya.envs.generators.parse import integer, integers

Private = Mapping[str, Any]


class DistinctSquaresSum(Generator):
    """A number as a sum of different squares; every such sum is right."""

    name, family = "distinct_squares_sum", "number_theory"
    form = "the numbers (not their squares), separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count, largest = 3 + difficulty // 8, 40 + 10 * difficulty
        planted = sorted(rng.sample(range(1, largest + 1), count))
        total = sum(x * x for x in planted)
        question = (
            f"Find {count} different whole numbers, all at least 1, whose squares add up to "
            f"{total}. Any such numbers are accepted."
        )
        return question, {"total": total, "planted": planted}

    def solve(self, private: Private) -> str:
        return ", ".join(map(str, private["planted"]))

    def judge(self, private: Private, answer: str) -> bool:
        said = integers(answer, len(private["planted"]))
        if min(said) < 1 or len(set(said)) < len(said):
            return False
        return sum(x * x for x in said) == private["total"]

    def size(self, private: Private) -> float:
        return private["total"].bit_length() * len(private["planted"])


class ExactPurchase(Generator):
    """Two equations, one for the number of items and one for the price."""

    name, family = "exact_purchase", "number_theory"
    form = "the number of items of each kind in the order above, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        kinds = 3 + difficulty // 5
        prices = rng.sample(range(7, 40 + 15 * difficulty), kinds)
        planted = [rng.randint(1, 9 + difficulty) for _ in range(kinds)]
        count = sum(planted)
        cost = sum(n * price for n, price in zip(planted, prices, strict=True))
        question = (
            f"A shop sells {kinds} kinds of items for {', '.join(map(str, prices))} coins each. "
            f"Somebody bought exactly {count} items, at least one of each kind, and paid exactly "
            f"{cost} coins. How many of each kind may it have been? Any possible purchase is "
            "accepted."
        )
        return question, {"prices": prices, "count": count, "cost": cost, "planted": planted}

    def solve(self, private: Private) -> str:
        return ", ".join(map(str, private["planted"]))

    def judge(self, private: Private, answer: str) -> bool:
        said = integers(answer, len(private["prices"]))
        paid = sum(n * price for n, price in zip(said, private["prices"], strict=True))
        return min(said) >= 1 and sum(said) == private["count"] and paid == private["cost"]

    def size(self, private: Private) -> float:
        return len(private["prices"]) * private["count"]


class FrobeniusNumber(Generator):
    """The largest amount that given coins cannot pay."""

    name, family = "frobenius_number", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            coins = sorted(rng.sample(range(6 + 2 * difficulty, 24 + 6 * difficulty), 3))
            if gcd(*coins) == 1:
                break
        rng.shuffle(coins)
        question = (
            f"Coins of {', '.join(map(str, coins))} cents can be used, as many of each as one "
            "likes. What is the largest whole number of cents that cannot be paid exactly?"
        )
        return question, {"coins": coins}

    def solve(self, private: Private) -> str:
        """For each remainder modulo the smallest coin, the least sum that has it."""
        smallest, *rest = sorted(private["coins"])
        least: list[int | None] = [0] + [None] * (smallest - 1)
        for coin in rest:
            for start in range(gcd(coin, smallest)):
                # Twice round the cycle of remainders that this coin walks through.
                at = start
                for _ in range(2 * (smallest // gcd(coin, smallest))):
                    here, then = least[at], (at + coin) % smallest
                    there = least[then]
                    if here is not None and (there is None or here + coin < there):
                        least[then] = here + coin
                    at = then
        return str(max(x for x in least if x is not None) - smallest)

    def judge(self, private: Private, answer: str) -> bool:
        """By the amounts themselves, as bits: not this one, but as many above it as a coin has."""
        said, coins = integer(answer), private["coins"]
        if not 1 <= said <= min(coins) * max(coins):
            return False
        window = min(coins)
        mask = (1 << (said + window + 1)) - 1
        payable = 1
        for coin in coins:
            step = coin
            while step <= said + window:
                payable |= payable << step & mask
                step *= 2
        return payable >> said == (1 << (window + 1)) - 2

    def size(self, private: Private) -> float:
        return min(private["coins"])


class NormEquation(Generator):
    """x^2 - D y^2 = N with large x; infinitely many solutions, all right."""

    name, family = "norm_equation", "number_theory"
    form = "x and y, separated by a comma,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            d = rng.randint(2, 14 + 2 * difficulty)
            if isqrt(d) ** 2 != d:
                break
        x, y = (rng.randint(1, 20 + 3 * difficulty) for _ in range(2))
        least = 100 * 2**difficulty
        question = (
            f"Find whole numbers x and y with x^2 - {d} y^2 = {x * x - d * y * y}, y >= 1 and "
            f"x >= {least}. Any such pair is accepted."
        )
        return question, {"d": d, "planted": [x, y], "least": least}

    def solve(self, private: Private) -> str:
        """The planted solution times the smallest unit u + v sqrt(D), until x is large."""
        d, (x, y) = private["d"], private["planted"]
        u, v = self._unit(d)
        while x < private["least"]:
            x, y = x * u + d * y * v, x * v + y * u
        return f"{x}, {y}"

    @staticmethod
    def _unit(d: int) -> tuple[int, int]:
        """The smallest solution of u^2 - d v^2 = 1, from the continued fraction of sqrt(d)."""
        root = isqrt(d)
        m, below, term = 0, 1, root
        u, v, last_u, last_v = root, 1, 1, 0
        while u * u - d * v * v != 1:
            m = below * term - m
            below = (d - m * m) // below
            term = (root + m) // below
            u, last_u = term * u + last_u, u
            v, last_v = term * v + last_v, v
        return u, v

    def judge(self, private: Private, answer: str) -> bool:
        x, y = integers(answer, 2)
        d, (a, b) = private["d"], private["planted"]
        return y >= 1 and x >= private["least"] and x * x - d * y * y == a * a - d * b * b

    def size(self, private: Private) -> float:
        return private["least"].bit_length()


class ProductTrailingZeros(Generator):
    """The zeros at the end of a long product, in a base that need not be prime."""

    name, family = "product_trailing_zeros", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        base = rng.randint(6, 60 + 20 * difficulty)
        low = rng.randint(10, 400 * (1 + difficulty))
        high = low + rng.randint(200, 2000) * 2**difficulty
        question = (
            f"The product {low} * {low + 1} * {low + 2} * ... * {high} of all whole numbers from "
            f"{low} to {high} is written in base {base}. How many zeros stand at its end?"
        )
        return question, {"base": base, "low": low, "high": high}

    def solve(self, private: Private) -> str:
        """Legendre: n! has the prime p floor(n/p) + floor(n/p^2) + ... times."""
        low, high = private["low"], private["high"]
        counts = []
        for p, e in factors(private["base"]).items():
            times, power = 0, p
            while power <= high:
                times += high // power - (low - 1) // power
                power *= p
            counts.append(times // e)
        return str(min(counts))

    def judge(self, private: Private, answer: str) -> bool:
        """Legendre's other form, with digit sums: (n - s_p(n)) / (p - 1)."""

        def times(n: int, p: int) -> int:
            digits, rest = 0, n
            while rest:
                digits, rest = digits + rest % p, rest // p
            return (n - digits) // (p - 1)

        low, high = private["low"], private["high"]
        zeros = min(
            (times(high, p) - times(low - 1, p)) // e for p, e in factors(private["base"]).items()
        )
        return integer(answer) == zeros

    def size(self, private: Private) -> float:
        return private["high"] - private["low"]


GENERATORS: tuple[type[Generator], ...] = (
    DistinctSquaresSum,
    ExactPurchase,
    FrobeniusNumber,
    NormEquation,
    ProductTrailingZeros,
)
