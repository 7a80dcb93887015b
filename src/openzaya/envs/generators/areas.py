"""Areas in the plane, exactly."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.geometry import cross, doubled_area, edges, polygon, shown
from openzaya.envs.generators.parse import integer, rational

Private = Mapping[str, Any]


class TriangleOfLines(Generator):
    """The area that three lines enclose."""

    name, family = "triangle_of_lines", "geometry"
    form = "the area as a whole number or a fraction such as 25/6"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 5 + 2 * difficulty
        while True:
            lines = [[rng.randint(-reach, reach) for _ in range(3)] for _ in range(3)]
            pairs = [a[0] * b[1] - a[1] * b[0] for a, b in combinations(lines, 2)]
            if all(pairs) and self._determinant(lines):
                break
        shown_lines = [f"{a} x + {b} y = {c}".replace("+ -", "- ") for a, b, c in lines]
        question = (
            "Three lines are given by the equations\n"
            + "\n".join(shown_lines)
            + "\nCompute the exact area of the triangle that they enclose."
        )
        return question, {"lines": lines}

    @staticmethod
    def _determinant(rows: Sequence[Sequence[int]]) -> int:
        (a, b, c), (d, e, f), (g, h, i) = rows
        return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)

    def solve(self, private: Private) -> str:
        """The squared determinant over twice the product of its three 2 x 2 minors."""
        lines, below = private["lines"], 2
        for a, b in combinations(lines, 2):
            below *= a[0] * b[1] - a[1] * b[0]
        return str(abs(Fraction(self._determinant(lines) ** 2, below)))

    def judge(self, private: Private, answer: str) -> bool:
        """By its corners."""
        corners = []
        for (a, b, c), (d, e, f) in combinations(private["lines"], 2):
            det = a * e - b * d
            corners.append((Fraction(c * e - b * f, det), Fraction(a * f - c * d, det)))
        return rational(answer) == abs(cross(*corners)) / 2

    def size(self, private: Private) -> float:
        return max(abs(c) for line in private["lines"] for c in line)


class UnionOfRectangles(Generator):
    """The area that rectangles cover together."""

    name, family = "union_of_rectangles", "geometry"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach, boxes = 16 + 3 * difficulty, []
        for _ in range(4 + difficulty // 2):
            x, y = (rng.randint(0, reach) for _ in range(2))
            boxes.append(
                [x, y, x + rng.randint(3, 6 + reach // 2), y + rng.randint(3, 6 + reach // 2)]
            )
        listed = "\n".join(f"from ({a}, {b}) to ({c}, {d})" for a, b, c, d in boxes)
        question = (
            "These rectangles have sides parallel to the axes; each is given by two opposite "
            f"corners:\n{listed}\nThey may overlap. How large is the area that they cover together?"
        )
        return question, {"boxes": boxes}

    def solve(self, private: Private) -> str:
        """Stripes between neighbouring x: the covered length of each, times its width."""
        boxes, total = private["boxes"], 0
        cuts = sorted({x for a, _, c, _ in boxes for x in (a, c)})
        for left, right in pairwise(cuts):
            covered, end = 0, None
            for low, high in sorted([b, d] for a, b, c, d in boxes if a <= left and right <= c):
                covered += max(0, high - (low if end is None else max(low, end)))
                end = high if end is None else max(high, end)
            total += covered * (right - left)
        return str(total)

    def judge(self, private: Private, answer: str) -> bool:
        """Row by row of unit squares, each row as bits."""
        rows: dict[int, int] = {}
        for a, b, c, d in private["boxes"]:
            bits = (1 << c) - (1 << a)
            for y in range(b, d):
                rows[y] = rows.get(y, 0) | bits
        return integer(answer) == sum(bits.bit_count() for bits in rows.values())

    def size(self, private: Private) -> float:
        return len(private["boxes"])


class CutPolygonArea(Generator):
    """The part of a polygon on one side of a line."""

    name, family = "cut_polygon_area", "geometry"
    form = "the area as a whole number or a fraction such as 25/6"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 8 + difficulty
        while True:
            ring = polygon(rng, 5 + difficulty // 3, reach)
            line = [rng.randint(-5, 5), rng.randint(-5, 5), rng.randint(-reach, reach)]
            sides = [line[0] * x + line[1] * y - line[2] for x, y in ring]
            if line[0] and line[1] and min(sides) < 0 < max(sides):
                break
        a, b, c = line
        question = (
            f"A polygon has the corners {shown(ring)}, in this order, and its sides do not cross. "
            f"How large is the area of its part where {a} x + {b} y <= {c}? Give it exactly."
        ).replace("+ -", "- ")
        return question, {"ring": ring, "line": line}

    def solve(self, private: Private) -> str:
        """Sutherland and Hodgman: the ring, cut side by side."""
        a, b, c = private["line"]
        kept: list[tuple[Fraction, Fraction]] = []
        for p, q in edges(private["ring"]):
            here, there = a * p[0] + b * p[1] - c, a * q[0] + b * q[1] - c
            if here <= 0:
                kept.append((Fraction(p[0]), Fraction(p[1])))
            if here * there < 0:
                t = Fraction(here, here - there)
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        return str(abs(doubled_area(kept)) / 2)

    def judge(self, private: Private, answer: str) -> bool:
        """As signed triangles from the first corner, each cut by proportions of its sides."""
        a, b, c = private["line"]
        ring = private["ring"]
        total = Fraction(0)
        for q, r in edges(ring):
            corners = sorted([ring[0], q, r], key=lambda p: a * p[0] + b * p[1])
            low, middle, high = (Fraction(a * x + b * y - c) for x, y in corners)
            if high <= 0:
                part = Fraction(1)
            elif low >= 0:
                part = Fraction(0)
            elif middle >= 0:  # a small triangle at the low corner
                part = low * low / ((low - middle) * (low - high))
            else:  # all but a small triangle at the high one
                part = 1 - high * high / ((high - low) * (high - middle))
            total += part * cross(ring[0], q, r)
        return rational(answer) == abs(total) / 2

    def size(self, private: Private) -> float:
        return len(private["ring"])


GENERATORS: tuple[type[Generator], ...] = (
    TriangleOfLines,
    UnionOfRectangles,
    CutPolygonArea,
)
