"""Polynomials, recurrences and interpolation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integer, integers, rational

Private = Mapping[str, Any]


def product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Coefficients of the product of two polynomials, all with the highest power first."""
    result = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


def written(coefficients: Sequence[int]) -> str:
    """2x^3 - x + 5"""
    text = ""
    for power, c in zip(range(len(coefficients) - 1, -1, -1), coefficients, strict=True):
        if c:
            sign = "-" if c < 0 else "+" if text else ""
            text += f" {sign} " if text else sign
            letter = "" if power == 0 else "x" if power == 1 else f"x^{power}"
            text += letter if abs(c) == 1 and letter else f"{abs(c)}{letter}"
    return text or "0"


class PolynomialRoots(Generator):
    """All roots are whole numbers; those that repeat are written as often."""

    name, family = "polynomial_roots", "algebra"
    form = "all roots in any order, separated by commas, each as often as its multiplicity,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 8 + difficulty
        roots = [rng.randint(-reach, reach) for _ in range(3 + difficulty // 3)]
        if rng.random() < 0.3:
            roots[0] = roots[1]
        coefficients = [rng.choice((-3, -2, -1, 1, 2, 3))]
        for root in roots:
            coefficients = product(coefficients, [1, -root])
        question = (
            f"All roots of this polynomial are whole numbers. Find them.\n{written(coefficients)}"
        )
        return question, {"coefficients": coefficients}

    def solve(self, private: Private) -> str:
        """Candidates are tried by Horner's scheme, whose quotient then has the other roots."""
        rest, roots = list(private["coefficients"]), []
        candidate = 0
        while len(rest) > 1:
            quotient = [rest[0]]
            for c in rest[1:]:
                quotient.append(c + candidate * quotient[-1])
            if quotient.pop() == 0:
                rest = quotient
                roots.append(candidate)
            else:  # 0, 1, -1, 2, -2, ...
                candidate = -candidate if candidate > 0 else 1 - candidate
        return ", ".join(map(str, sorted(roots)))

    def judge(self, private: Private, answer: str) -> bool:
        coefficients = private["coefficients"]
        said = integers(answer, len(coefficients) - 1)
        if max(map(abs, said)) > sum(map(abs, coefficients)):
            return False
        back = coefficients[:1]
        for root in said:
            back = product(back, [1, -root])
        return back == coefficients

    def size(self, private: Private) -> float:
        return len(private["coefficients"]) - 1


class PolynomialDivision(Generator):
    """Quotient and remainder, checked by multiplying back."""

    name, family = "polynomial_division", "algebra"
    form = (
        "the coefficients of the quotient from the highest power down, separated by commas, then a "
        "semicolon, then those of the remainder in the same way (0 if it is zero),"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        low, high = 2 + difficulty // 4, 1 + difficulty // 3
        divisor = [rng.choice((1, -1)), *(rng.randint(-5, 5) for _ in range(low))]
        quotient = [rng.choice((-3, -2, -1, 1, 2, 3)), *(rng.randint(-9, 9) for _ in range(high))]
        dividend = product(divisor, quotient)
        for i in range(low):
            dividend[-1 - i] += rng.randint(-9, 9)
        question = (
            f"Divide the polynomial {written(dividend)} by {written(divisor)}. Give the quotient "
            "and the remainder, whose degree is less than that of the divisor. Write a 0 for every "
            "power that is missing below the highest one."
        )
        return question, {"dividend": dividend, "divisor": divisor}

    def solve(self, private: Private) -> str:
        """Long division; the head of the divisor is 1 or -1."""
        rest, divisor = list(private["dividend"]), private["divisor"]
        quotient = []
        while len(rest) >= len(divisor):
            factor = rest[0] * divisor[0]
            quotient.append(factor)
            for i, c in enumerate(divisor):
                rest[i] -= factor * c
            rest.pop(0)
        while len(rest) > 1 and rest[0] == 0:
            rest.pop(0)
        return f"{', '.join(map(str, quotient))}; {', '.join(map(str, rest))}"

    def judge(self, private: Private, answer: str) -> bool:
        parts = answer.split(";")
        if len(parts) != 2:
            raise Unparseable("two polynomials with a semicolon between them were asked for")
        quotient, remainder = (self._plain(integers(part)) for part in parts)
        dividend, divisor = private["dividend"], private["divisor"]
        if len(quotient) + len(divisor) - 1 != len(dividend) or len(remainder) >= len(divisor):
            return False
        back = product(quotient, divisor)
        for i, c in enumerate(reversed(remainder), 1):
            back[-i] += c
        return back == dividend

    @staticmethod
    def _plain(coefficients: list[int]) -> list[int]:
        """Without the zeros in front."""
        if not coefficients:
            raise Unparseable("coefficients were asked for")
        head = next((i for i, c in enumerate(coefficients) if c), len(coefficients) - 1)
        return coefficients[head:]

    def size(self, private: Private) -> float:
        return len(private["dividend"])


class NewtonPowerSum(Generator):
    """Sums of powers of roots that nobody can write down."""

    name, family = "newton_power_sum", "algebra"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        degree, power = 3 + difficulty // 4, 4 + difficulty // 2
        tail = [rng.randint(-6, 6) for _ in range(degree - 1)]
        tail.append(rng.choice((-1, 1)) * rng.randint(1, 6))
        question = (
            f"Let r1, ..., r{degree} be the complex roots of {written([1, *tail])}, each counted "
            f"with its multiplicity. Compute the sum of their powers r^{power}."
        )
        return question, {"tail": tail, "power": power}

    def solve(self, private: Private) -> str:
        """Newton's identities: p_k = -(a_1 p_(k-1) + ... + a_(k-1) p_1 + k a_k)."""
        tail, sums = private["tail"], []
        for k in range(1, private["power"] + 1):
            total = sum(a * sums[k - 2 - i] for i, a in enumerate(tail[: k - 1]))
            sums.append(-total - (k * tail[k - 1] if k <= len(tail) else 0))
        return str(sums[-1])

    def judge(self, private: Private, answer: str) -> bool:
        """As the trace of a power of the companion matrix, whose eigenvalues the roots are."""
        tail, n = private["tail"], len(private["tail"])
        trace = 0
        for i in range(n):
            vector = [int(i == j) for j in range(n)]
            for _ in range(private["power"]):
                head = vector[0]
                vector = [(vector[j + 1] if j + 1 < n else 0) - tail[j] * head for j in range(n)]
            trace += vector[i]
        return integer(answer) == trace

    def size(self, private: Private) -> float:
        return private["power"] * len(private["tail"])


class LinearRecurrenceMod(Generator):
    """A far term of a linear recurrence, modulo a number."""

    name, family = "linear_recurrence_mod", "algebra"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        order = 2 + difficulty // 10
        modulus = rng.randint(100, 1000 * (1 + difficulty))
        factors = [rng.randint(1, 9) for _ in range(order)]
        first = [rng.randint(0, 9) for _ in range(order - 1)] + [rng.randint(1, 9)]
        digits = 1 + difficulty // 3
        index = rng.randint(2 * 10**digits, 10 ** (digits + 1))
        terms = " + ".join(f"{c} a(n-{i})" for i, c in enumerate(factors, 1))
        start = ", ".join(f"a({i}) = {x}" for i, x in enumerate(first))
        question = (
            f"A sequence starts with {start}. For n >= {order}, a(n) = {terms}. What is the "
            f"remainder of a({index}) on division by {modulus}?"
        )
        private = {"modulus": modulus, "factors": factors, "first": first, "index": index}
        return question, private

    def solve(self, private: Private) -> str:
        """x^index modulo the characteristic polynomial, by squaring."""
        m, factors = private["modulus"], private["factors"]
        k = len(factors)
        power = [1] + [0] * (k - 1)  # lowest power first
        for bit in bin(private["index"])[2:]:
            square = product(power, power) + [0] * int(bit)
            if bit == "1":
                square = [0, *square[:-1]]
            for i in range(len(square) - 1, k - 1, -1):
                for j, c in enumerate(factors, 1):
                    square[i - j] = (square[i - j] + square[i] * c) % m
            power = [x % m for x in square[:k]]
            power += [0] * (k - len(power))
        return str(sum(a * x for a, x in zip(power, private["first"], strict=True)) % m)

    def judge(self, private: Private, answer: str) -> bool:
        """By powers of the step's matrix, applied to the first terms."""
        m, factors = private["modulus"], private["factors"]
        k, state, index = len(factors), list(private["first"]), private["index"]
        step = [[int(j == i + 1) for j in range(k)] for i in range(k - 1)] + [factors[::-1]]
        while index:
            if index & 1:
                state = [sum(a * x for a, x in zip(row, state, strict=True)) % m for row in step]
            columns = list(zip(*step, strict=True))
            step = [
                [sum(a * b for a, b in zip(row, column, strict=True)) % m for column in columns]
                for row in step
            ]
            index >>= 1
        return integer(answer) == state[0]

    def size(self, private: Private) -> float:
        return len(private["factors"]) * private["index"].bit_length()


class InterpolatedValue(Generator):
    """The polynomial of least degree through given points, at another place."""

    name, family = "interpolated_value", "algebra"
    form = "the exact value as a whole number or a fraction such as -7/3"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count = 3 + difficulty // 2
        places = rng.sample(range(-4 - difficulty, 5 + difficulty), count + 1)
        points = [[x, rng.randint(-20, 20)] for x in places[1:]]
        question = (
            f"The polynomial P has degree at most {count - 1} and goes through the points "
            f"{', '.join(f'({x}, {y})' for x, y in points)}. What is P({places[0]})?"
        )
        return question, {"points": points, "at": places[0]}

    def solve(self, private: Private) -> str:
        """Lagrange's formula."""
        total, at = Fraction(0), private["at"]
        for i, (x, y) in enumerate(private["points"]):
            term = Fraction(y)
            for j, (other, _) in enumerate(private["points"]):
                if i != j:
                    term *= Fraction(at - other, x - other)
            total += term
        return str(total)

    def judge(self, private: Private, answer: str) -> bool:
        """Neville's scheme: values of ever longer polynomials at the place."""
        points, at = private["points"], private["at"]
        values = [Fraction(y) for _, y in points]
        for length in range(1, len(points)):
            for i in range(len(points) - length):
                left, right = points[i][0], points[i + length][0]
                above = (at - right) * values[i] - (at - left) * values[i + 1]
                values[i] = above / (left - right)
        return rational(answer) == values[0]

    def size(self, private: Private) -> float:
        return len(private["points"])


GENERATORS: tuple[type[Generator], ...] = (
    PolynomialRoots,
    PolynomialDivision,
    NewtonPowerSum,
    LinearRecurrenceMod,
    InterpolatedValue,
)
