"""Linear algebra and functions over exact numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, isqrt
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, rationals

Private = Mapping[str, Any]


def eliminated(rows: Sequence[Sequence[Fraction]]) -> list[list[Fraction]] | None:
    """Gauss-Jordan on n rows of at least n numbers: what stands right of the unit matrix then.
    None if the left square is singular."""
    work, n = [list(row) for row in rows], len(rows)
    for column in range(n):
        pivot = next((i for i in range(column, n) if work[i][column]), None)
        if pivot is None:
            return None
        work[column], work[pivot] = work[pivot], work[column]
        head = work[column][column]
        work[column] = [x / head for x in work[column]]
        for i in range(n):
            if i != column and (factor := work[i][column]):
                work[i] = [x - factor * y for x, y in zip(work[i], work[column], strict=True)]
    return [row[n:] for row in work]


class LinearSystem(Generator):
    """n equations, n unknowns, one solution in fractions."""

    name, family = "linear_system", "algebra"
    form = "the values in the order of the unknowns, as whole numbers or fractions, with commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 2 + difficulty // 4
        planted = [Fraction(rng.randint(-9, 9), rng.choice((1, 1, 2, 3))) for _ in range(n)]
        while True:
            rows: list[list[int]] = []
            for _ in range(n):
                left = [rng.randint(-9, 9) for _ in range(n)]
                right = sum((a * x for a, x in zip(left, planted, strict=True)), Fraction(0))
                rows.append([right.denominator * a for a in left] + [right.numerator])
            if eliminated([[Fraction(a) for a in row] for row in rows]) is not None:
                break
        names = [f"x{i}" for i in range(1, n + 1)]
        lines = [f"{_linear(row[:-1], names)} = {row[-1]}" for row in rows]
        question = "Solve this system of linear equations exactly.\n" + "\n".join(lines)
        return f"{question}\nOrder of the unknowns: {', '.join(names)}.", {"rows": rows}

    def solve(self, private: Private) -> str:
        solution = eliminated([[Fraction(a) for a in row] for row in private["rows"]])
        assert solution is not None
        return ", ".join(str(x) for (x,) in solution)

    def judge(self, private: Private, answer: str) -> bool:
        said = rationals(answer, len(private["rows"]))
        return all(
            sum(a * x for a, x in zip(row[:-1], said, strict=True)) == row[-1]
            for row in private["rows"]
        )

    def size(self, private: Private) -> float:
        return len(private["rows"])


def _linear(factors: Sequence[int], names: Sequence[str]) -> str:
    """3 x1 - x2 + 2 x4"""
    text = ""
    for factor, name in zip(factors, names, strict=True):
        if factor:
            sign = "-" if factor < 0 else "+" if text else ""
            text += f" {sign} " if text else sign
            text += name if abs(factor) == 1 else f"{abs(factor)} {name}"
    return text or "0"


class QuadraticInequalities(Generator):
    """Whole numbers between and outside roots that are no whole numbers."""

    name, family = "quadratic_inequalities", "algebra"
    form = "how many such x there are, a comma, and the sum of all of them,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 12 + 5 * difficulty
        while True:
            outer = self._around(rng, rng.randint(-reach, reach), rng.randint(8, reach))
            system = [[*outer, -1]]  # a, b, c and the sign of a x^2 + b x + c, zero allowed
            for _ in range(1 + difficulty // 4):
                hole = self._around(rng, rng.randint(-reach, reach), rng.randint(1, 3))
                system.append([*hole, 1])
            if len(self._found(system)) >= 4:
                break
        rng.shuffle(system)
        lines = [f"{_quadratic(*row[:3])} {'>=' if row[3] > 0 else '<='} 0" for row in system]
        question = "Find all whole numbers x, negative ones included, with\n" + "\n".join(lines)
        return question, {"system": system}

    @staticmethod
    def _around(rng: random.Random, middle: int, reach: int) -> list[int]:
        """A parabola, open above, with its roots about `reach` left and right of `middle`."""
        a = rng.randint(1, 5)
        b = -2 * a * middle + rng.randint(1 - a, a - 1)
        return [a, b, b * b // (4 * a) - a * reach**2 - rng.randint(0, a)]

    @staticmethod
    def _found(system: Sequence[Sequence[int]]) -> range | list[int]:
        """The whole numbers that obey every line, from the roots of each: no x is tried."""
        within, holes = range(-(10**9), 10**9), []
        for a, b, c, sign in system:
            # a x^2 + b x + c < 0 exactly where |2 a x + b| < sqrt(b^2 - 4 a c).
            square = b * b - 4 * a * c
            root = isqrt(square)
            if sign < 0:  # |2 a x + b| <= root
                low, high = -((root + b) // (2 * a)), (root - b) // (2 * a)
                within = range(max(within.start, low), min(within.stop, high + 1))
            else:  # the integers with |2 a x + b| <= root, or < root where the root is exact
                root -= root * root == square
                holes.append(range(-((root + b) // (2 * a)), (root - b) // (2 * a) + 1))
        return [x for x in within if not any(x in hole for hole in holes)]

    def solve(self, private: Private) -> str:
        found = self._found(private["system"])
        return f"{len(found)}, {sum(found)}"

    def judge(self, private: Private, answer: str) -> bool:
        """By trying every x near the roots of the one line that bounds it."""
        a, b, c, _ = next(row for row in private["system"] if row[3] < 0)
        middle, reach = -b // (2 * a), isqrt(b * b - 4 * a * c) // (2 * a) + 2
        found = [
            x
            for x in range(middle - reach, middle + reach + 1)
            if all((a * x * x + b * x + c) * sign >= 0 for a, b, c, sign in private["system"])
        ]
        return integers(answer, 2) == [len(found), sum(found)]

    def size(self, private: Private) -> float:
        return len(private["system"])


def _quadratic(a: int, b: int, c: int) -> str:
    text = _linear([a, b], ["x^2", "x"])
    if a == b == 0:
        return str(c)
    return text if c == 0 else f"{text} {'-' if c < 0 else '+'} {abs(c)}"


class MoebiusComposition(Generator):
    """Functions (ax + b)/(cx + d) put into one another; every common factor is right."""

    name, family = "moebius_composition", "algebra"
    form = "a, b, c and d as whole numbers, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        functions = []
        while len(functions) < 2 + difficulty // 2:
            a, b, c, d = (rng.randint(-6, 6) for _ in range(4))
            if a * d != b * c and c:
                functions.append([a, b, c, d])
        lines = [
            f"f{i}(x) = ({_quadratic(0, a, b)}) / ({_quadratic(0, c, d)})"
            for i, (a, b, c, d) in enumerate(functions, 1)
        ]
        inner = "".join(f"f{i}(" for i in range(1, len(functions) + 1))
        question = (
            "\n".join(lines)
            + f"\nWrite h(x) = {inner}x{')' * len(functions)} as (a x + b) / (c x + d) with whole "
            "numbers a, b, c, d. Any common factor of the four numbers is allowed, also -1."
        )
        return question, {"functions": functions}

    def solve(self, private: Private) -> str:
        """The matrices of the functions, multiplied and shortened."""
        p, q, r, s = 1, 0, 0, 1
        for a, b, c, d in private["functions"]:
            p, q, r, s = p * a + q * c, p * b + q * d, r * a + s * c, r * b + s * d
        common = gcd(p, q, r, s)
        return ", ".join(str(x // common) for x in (p, q, r, s))

    def judge(self, private: Private, answer: str) -> bool:
        """A function of this kind is known by three values: those at 0, 1 and infinity."""
        a, b, c, d = integers(answer, 4)
        if a * d == b * c:
            return False
        for x, y in ((0, 1), (1, 1), (1, 0)):
            said = a * x + b * y, c * x + d * y
            for p, q, r, s in reversed(private["functions"]):
                x, y = p * x + q * y, r * x + s * y
            if said[0] * y != said[1] * x:
                return False
        return True

    def size(self, private: Private) -> float:
        return len(private["functions"])


class MatrixInverseMod(Generator):
    """The inverse of a matrix whose entries are counted modulo a prime."""

    name, family = "matrix_inverse_mod", "algebra"
    form = "the rows of the inverse from top to bottom, all entries separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, p = 2 + difficulty // 5, rng.choice((7, 11, 13, 17, 19, 23, 29, 31))
        while True:
            matrix = [[rng.randrange(p) for _ in range(n)] for _ in range(n)]
            if self._inverse(matrix, p) is not None:
                break
        lines = [" ".join(map(str, row)) for row in matrix]
        question = (
            f"Find the inverse of this {n} x {n} matrix modulo {p}, with entries from 0 to {p - 1}."
            "\n" + "\n".join(lines)
        )
        return question, {"p": p, "matrix": matrix}

    @staticmethod
    def _inverse(matrix: Sequence[Sequence[int]], p: int) -> list[list[int]] | None:
        n = len(matrix)
        work = [[*row, *(int(i == j) for j in range(n))] for i, row in enumerate(matrix)]
        for column in range(n):
            pivot = next((i for i in range(column, n) if work[i][column]), None)
            if pivot is None:
                return None
            work[column], work[pivot] = work[pivot], work[column]
            head = pow(work[column][column], -1, p)
            work[column] = [x * head % p for x in work[column]]
            for i in range(n):
                if i != column:
                    factor, row = work[i][column], work[column]
                    work[i] = [(x - factor * y) % p for x, y in zip(work[i], row, strict=True)]
        return [row[n:] for row in work]

    def solve(self, private: Private) -> str:
        inverse = self._inverse(private["matrix"], private["p"])
        assert inverse is not None
        return ", ".join(str(x) for row in inverse for x in row)

    def judge(self, private: Private, answer: str) -> bool:
        matrix, p = private["matrix"], private["p"]
        n = len(matrix)
        said = integers(answer, n * n)
        if not all(0 <= x < p for x in said):
            return False
        return all(
            sum(matrix[i][k] * said[k * n + j] for k in range(n)) % p == (i == j)
            for i in range(n)
            for j in range(n)
        )

    def size(self, private: Private) -> float:
        return len(private["matrix"])


GENERATORS: tuple[type[Generator], ...] = (
    LinearSystem,
    QuadraticInequalities,
    MoebiusComposition,
    MatrixInverseMod,
)
