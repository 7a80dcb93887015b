"""Remainders, divisors and orders."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import gcd, lcm, prod
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integer, integers

Private = Mapping[str, Any]


def is_prime(n: int) -> bool:
    """Miller-Rabin; with these bases exact below 3.3e24, and as good as that beyond."""
    small = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n < 2 or any(n % p == 0 for p in small):
        return n in small
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in small:
        x = pow(base, odd, n)
        if x not in (1, n - 1) and not any((x := x * x % n) == n - 1 for _ in range(twos - 1)):
            return False
    return True


def factors(n: int) -> dict[int, int]:
    """Prime to exponent, by trial division: for n that are small."""
    found: dict[int, int] = {}
    p = 2
    while p * p <= n:
        while n % p == 0:
            found[p] = found.get(p, 0) + 1
            n //= p
        p += 1
    if n > 1:
        found[n] = found.get(n, 0) + 1
    return found


class PowerTowerMod(Generator):
    """a^(b^c) modulo m, far too large to write out."""

    name, family = "power_tower_mod", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            base, middle = rng.randint(2, 20 + 5 * difficulty), rng.randint(2, 12 + difficulty)
            top = rng.randint(3, 10 + difficulty)
            modulus = rng.randint(10 ** (1 + difficulty // 4) * 3, 10 ** (2 + difficulty // 4) * 3)
            if gcd(base, modulus) in (1, 2, 3) and pow(base, middle**top, modulus) > 1:
                break
        question = (
            f"What is the remainder of {base}^({middle}^{top}) on division by {modulus}? "
            "The exponent is itself a power."
        )
        return question, {"base": base, "middle": middle, "top": top, "modulus": modulus}

    def solve(self, private: Private) -> str:
        exponent = private["middle"] ** private["top"]
        return str(pow(private["base"], exponent, private["modulus"]))

    def judge(self, private: Private, answer: str) -> bool:
        """The outer power one level at a time: a^(b^c) is a^b, to the b, c times."""
        value = private["base"]
        for _ in range(private["top"]):
            power = 1
            for _ in range(private["middle"]):
                power = power * value % private["modulus"]
            value = power
        return integer(answer) == value

    def size(self, private: Private) -> float:
        return len(str(private["modulus"])) * private["top"] * private["middle"]


class ChineseRemainder(Generator):
    """Congruences whose moduli share factors."""

    name, family = "chinese_remainder", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count = 2 + difficulty // 3
        moduli = rng.sample(range(6, 31 + 3 * difficulty), count)
        x = rng.randrange(lcm(*moduli))
        congruences = [[x % m, m] for m in moduli]
        question = (
            "Find the smallest whole number x >= 0 that leaves these remainders: "
            + "; ".join(f"{r} on division by {m}" for r, m in congruences)
            + "."
        )
        return question, {"congruences": congruences}

    def solve(self, private: Private) -> str:
        """One congruence after the other; each widens the step."""
        x, step = 0, 1
        for r, m in private["congruences"]:
            common = gcd(step, m)
            inverse = pow(step // common, -1, m // common)
            x += step * ((r - x) // common * inverse % (m // common))
            step = lcm(step, m)
        return str(x)

    def judge(self, private: Private, answer: str) -> bool:
        said, congruences = integer(answer), private["congruences"]
        inside = 0 <= said < lcm(*(m for _, m in congruences))
        return inside and all(said % m == r for r, m in congruences)

    def size(self, private: Private) -> float:
        return len(private["congruences"])


class BezoutPair(Generator):
    """The greatest common divisor as a combination; every pair that gives it is right."""

    name, family = "bezout_pair", "number_theory"
    form = "x and y, separated by a comma,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        digits = 2 + difficulty
        while True:
            a, b = (rng.randint(10**digits, 10 ** (digits + 1)) for _ in range(2))
            common = rng.randint(2, 30)
            a, b = a // common * common, b // common * common
            if gcd(a, b) not in (a, b, abs(a - b)):
                break
        question = (
            f"Find whole numbers x and y, of which one may be negative, such that {a} x + {b} y is "
            f"the greatest common divisor of {a} and {b}. Any such pair is accepted."
        )
        return question, {"a": a, "b": b}

    def solve(self, private: Private) -> str:
        """Euclid's algorithm, run on the combinations too."""
        left, right = (private["a"], 1, 0), (private["b"], 0, 1)
        while right[0]:
            times = left[0] // right[0]
            rest = tuple(u - times * v for u, v in zip(left, right, strict=True))
            left, right = right, (rest[0], rest[1], rest[2])
        return f"{left[1]}, {left[2]}"

    def judge(self, private: Private, answer: str) -> bool:
        x, y = integers(answer, 2)
        a, b = private["a"], private["b"]
        return a * x + b * y == gcd(a, b)

    def size(self, private: Private) -> float:
        return private["a"].bit_length()


class KthDivisor(Generator):
    """The divisors of a number in order; which one stands at a place?"""

    name, family = "kth_divisor", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        wanted, primes, exponents = 14 + 4 * difficulty, [2, 3, 5, 7, 11, 13, 17, 19, 23], {}
        while prod(e + 1 for e in exponents.values()) < wanted:
            p = rng.choice(primes)
            exponents[p] = exponents.get(p, 0) + 1
        powers = [[p, exponents[p]] for p in sorted(exponents)]
        number = prod(p**e for p, e in powers)
        count = prod(e + 1 for _, e in powers)
        place = rng.randint(5, count - 2)
        question = (
            f"List all positive divisors of {number}, 1 and the number itself included, from the "
            f"smallest to the largest. Which one is at place {place}, if 1 is at place 1?"
        )
        return question, {"number": number, "powers": powers, "place": place}

    def solve(self, private: Private) -> str:
        divisors = [1]
        for p, e in private["powers"]:
            divisors = [d * p**i for d in divisors for i in range(e + 1)]
        return str(sorted(divisors)[private["place"] - 1])

    def judge(self, private: Private, answer: str) -> bool:
        """A divisor with exactly as many divisors up to it, counted prime by prime."""
        said = integer(answer)
        if said < 1 or private["number"] % said:
            return False
        return self._up_to(private["powers"], said) == private["place"]

    def _up_to(self, powers: list[list[int]], bound: int) -> int:
        """How many products of these prime powers are at most `bound`."""
        if not powers:
            return int(bound >= 1)
        (p, e), *rest = powers
        return sum(self._up_to(rest, bound // p**i) for i in range(e + 1) if p**i <= bound)

    def size(self, private: Private) -> float:
        return prod(e + 1 for _, e in private["powers"])


class DiscreteLogarithm(Generator):
    """Which power gives this remainder? Every exponent that does is right."""

    name, family = "discrete_logarithm", "number_theory"
    form = "the exponent as a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        low = 60 * 3**difficulty >> difficulty
        while True:
            p = rng.randrange(low | 1, 4 * low, 2)
            if is_prime(p):
                break
        while True:
            base, planted = rng.randint(2, p - 2), rng.randint(5, p - 2)
            power, order = base, 1
            while power != 1 and order < 30:
                power, order = power * base % p, order + 1
            if order >= 30 and pow(base, planted, p) not in (1, base):
                break
        result = pow(base, planted, p)
        question = (
            f"Find a whole number x >= 0 such that {base}^x leaves the remainder {result} on "
            f"division by the prime number {p}. Any such x is accepted."
        )
        return question, {"p": p, "base": base, "result": result, "planted": planted}

    def solve(self, private: Private) -> str:
        """The planted exponent: a search would take as long as the task is meant to."""
        return str(private["planted"])

    def judge(self, private: Private, answer: str) -> bool:
        x = integer(answer)
        return x >= 0 and pow(private["base"], x, private["p"]) == private["result"]

    def size(self, private: Private) -> float:
        return private["p"].bit_length()


class MultiplicativeOrder(Generator):
    """How soon the powers of a number return to 1."""

    name, family = "multiplicative_order", "number_theory"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        primes = [p for p in range(7, 60 + 8 * difficulty) if is_prime(p)]
        while True:
            chosen = rng.sample(primes, 2 + difficulty // 8)
            modulus = prod(chosen)
            a = rng.randint(2, modulus - 2)
            if gcd(a, modulus) == 1 and self._order(a, chosen) >= 12:
                break
        question = (
            f"What is the smallest whole number k >= 1 for which {a}^k leaves the remainder 1 on "
            f"division by {modulus}?"
        )
        return question, {"a": a, "primes": chosen}

    @staticmethod
    def _order(a: int, primes: list[int]) -> int:
        """The least common multiple of the orders modulo each prime, found by multiplying."""
        orders = []
        for p in primes:
            power, order = a % p, 1
            while power != 1:
                power, order = power * a % p, order + 1
            orders.append(order)
        return lcm(*orders)

    def solve(self, private: Private) -> str:
        return str(self._order(private["a"], private["primes"]))

    def judge(self, private: Private, answer: str) -> bool:
        """k gives 1, divides the group's exponent, and k over none of its primes gives 1."""
        k, primes = integer(answer), private["primes"]
        modulus, exponent = prod(primes), lcm(*(p - 1 for p in primes))
        if k < 1 or exponent % k or pow(private["a"], k, modulus) != 1:
            return False
        inside = {q for p in primes for q in factors(p - 1) if k % q == 0}
        return all(pow(private["a"], k // q, modulus) != 1 for q in sorted(inside))

    def size(self, private: Private) -> float:
        return prod(private["primes"]).bit_length()


GENERATORS: tuple[type[Generator], ...] = (
    PowerTowerMod,
    ChineseRemainder,
    BezoutPair,
    KthDivisor,
    DiscreteLogarithm,
    MultiplicativeOrder,
)
