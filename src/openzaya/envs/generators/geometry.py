"""Plane geometry on whole-number points; every answer is exact."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers, rationals

Private = Mapping[str, Any]


def cross(a: Sequence[Any], b: Sequence[Any], c: Sequence[Any]) -> Any:
    """Twice the signed area of the triangle a b c: positive if it turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def polygon(rng: random.Random, corners: int, reach: int) -> list[list[int]]:
    """A simple polygon without corners of 180 degrees: an upper and a lower chain from the
    leftmost to the rightmost corner, in one direction or the other, from any corner on."""
    while True:
        places = sorted(rng.sample(range(-reach, reach + 1), corners))
        points = [[x, rng.randint(-reach, reach)] for x in places]
        left, right = points[0], points[-1]
        upper = [p for p in points[1:-1] if cross(left, right, p) > 0]
        lower = [p for p in points[1:-1] if cross(left, right, p) <= 0]
        ring = [left, *lower, right, *reversed(upper)]
        turn = rng.randrange(corners)
        ring = ring[turn:] + ring[:turn]
        triples = zip(ring, ring[1:] + ring[:1], ring[2:] + ring[:2], strict=True)
        if all(cross(a, b, c) for a, b, c in triples):
            return ring if rng.random() < 0.5 else ring[::-1]


def edges(ring: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(pairwise([*ring, ring[0]]))


def doubled_area(ring: Sequence[Sequence[Any]]) -> Any:
    """Twice the signed area (shoelace formula)."""
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in edges(ring))


def shown(points: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"({x}, {y})" for x, y in points)


class LatticePointsInside(Generator):
    """Grid points inside a polygon and on its border."""

    name, family = "lattice_points_inside", "geometry"
    form = "the number of points inside, a comma, and the number of points on the border,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        ring = polygon(rng, 5 + difficulty // 2, 8 + 2 * difficulty)
        question = (
            f"A polygon has the corners {shown(ring)}, in this order, and its sides do not cross. "
            "How many points with two whole-number coordinates lie strictly inside, and how many "
            "lie on its border (corners included)?"
        )
        return question, {"ring": ring}

    def solve(self, private: Private) -> str:
        """Pick: area = inside + border / 2 - 1."""
        ring = private["ring"]
        border = sum(gcd(b[0] - a[0], b[1] - a[1]) for a, b in edges(ring))
        inside = (abs(doubled_area(ring)) - border + 2) // 2
        return f"{inside}, {border}"

    def judge(self, private: Private, answer: str) -> bool:
        """Column by column: the grid points between the sides that the column crosses."""
        said, ring = integers(answer, 2), private["ring"]
        border = sum(gcd(b[0] - a[0], b[1] - a[1]) for a, b in edges(ring))
        closed = 0  # inside or on the border
        for x in range(min(p[0] for p in ring), max(p[0] for p in ring) + 1):
            # Two heights: no two corners share an x, and a chain has one point in each column.
            heights = [
                Fraction(a[1] * (b[0] - x) + b[1] * (x - a[0]), b[0] - a[0])
                for a, b in (sorted(edge) for edge in edges(ring))
                if a[0] <= x <= b[0]
            ]
            closed += max(heights).__floor__() - min(heights).__ceil__() + 1
        return said == [closed - border, border]

    def size(self, private: Private) -> float:
        return len(private["ring"])


class CircleThroughPoints(Generator):
    """Centre and squared radius of the circle through three points."""

    name, family = "circle_through_points", "geometry"
    form = "the x and the y of the centre and the squared radius, as whole numbers or fractions,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 9 * 2 ** (difficulty // 2) + difficulty
        while True:
            points = [[rng.randint(-reach, reach) for _ in range(2)] for _ in range(3)]
            if cross(*points):
                break
        question = (
            f"A circle goes through the points {shown(points)}. Compute the coordinates of its "
            "centre and the square of its radius, all exactly. Separate the three by commas."
        )
        return question, {"points": points}

    def solve(self, private: Private) -> str:
        """Cramer's rule on the two perpendicular bisectors."""
        (ax, ay), (bx, by), (cx, cy) = private["points"]
        d = 2 * cross(*private["points"])
        b, c = (bx - ax) ** 2 + (by - ay) ** 2, (cx - ax) ** 2 + (cy - ay) ** 2
        x = Fraction(b * (cy - ay) - c * (by - ay), d)
        y = Fraction(c * (bx - ax) - b * (cx - ax), d)
        return f"{ax + x}, {ay + y}, {x * x + y * y}"

    def judge(self, private: Private, answer: str) -> bool:
        x, y, square = rationals(answer, 3)
        return all((px - x) ** 2 + (py - y) ** 2 == square for px, py in private["points"])

    def size(self, private: Private) -> float:
        return max(abs(c) for p in private["points"] for c in p).bit_length()


class PointsInPolygon(Generator):
    """Which of many points lie inside a polygon?"""

    name, family = "points_in_polygon", "geometry"
    form = "the numbers of the points that lie inside, in any order, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 10 + difficulty
        while True:
            ring = polygon(rng, 6 + difficulty // 2, reach)
            points = [
                [rng.randint(-reach, reach) for _ in range(2)] for _ in range(10 + difficulty)
            ]
            on_border = any(self._between(a, b, p) for p in points for a, b in edges(ring))
            found = self._inside(ring, points)
            if not on_border and 3 <= len(found) <= len(points) - 3:
                break
        listed = ", ".join(f"{i}: ({x}, {y})" for i, (x, y) in enumerate(points, 1))
        question = (
            f"A polygon has the corners {shown(ring)}, in this order, and its sides do not cross. "
            f"Which of these points lie inside it?\n{listed}\nNo point lies on the border."
        )
        return question, {"ring": ring, "points": points}

    @staticmethod
    def _between(a: Sequence[int], b: Sequence[int], p: Sequence[int]) -> bool:
        inside_box = all(min(a[i], b[i]) <= p[i] <= max(a[i], b[i]) for i in range(2))
        return inside_box and cross(a, b, p) == 0

    @staticmethod
    def _inside(ring: Sequence[Any], points: Sequence[Sequence[int]]) -> list[int]:
        """A ray to the right crosses the border an odd number of times."""
        found = []
        for i, p in enumerate(points, 1):
            crossed = 0
            for a, b in edges(ring):
                low, high = (a, b) if a[1] < b[1] else (b, a)
                if low[1] <= p[1] < high[1]:
                    crossed += cross(low, high, p) > 0
            if crossed % 2:
                found.append(i)
        return found

    def solve(self, private: Private) -> str:
        return ", ".join(map(str, self._inside(private["ring"], private["points"])))

    def judge(self, private: Private, answer: str) -> bool:
        """By winding: how often the border goes round the point, in quarter turns."""
        said, right = integers(answer), set()
        for i, (x, y) in enumerate(private["points"], 1):
            turns = 0
            for a, b in edges([[px - x, py - y] for px, py in private["ring"]]):
                step = (_quadrant(b) - _quadrant(a)) % 4
                turned_left = cross((0, 0), a, b) > 0
                turns += {0: 0, 1: 1, 2: 2 if turned_left else -2, 3: -1}[step]
            if turns:
                right.add(i)
        return len(said) == len(set(said)) and set(said) == right

    def size(self, private: Private) -> float:
        return len(private["ring"]) * len(private["points"])


def _quadrant(p: Sequence[int]) -> int:
    """0 to 3, counterclockwise; each holds the axis it begins with. p is not the origin."""
    x, y = p
    if x > 0 and y >= 0:
        return 0
    if x <= 0 and y > 0:
        return 1
    return 2 if x < 0 else 3


class ConvexHull(Generator):
    """The corners of the hull in order; the walk may start at any of them."""

    name, family = "convex_hull", "geometry"
    form = "the numbers of the corners, counterclockwise from any of them, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach = 9 + 2 * difficulty
        points: list[list[int]] = []
        while len(points) < 7 + difficulty or len(self._hull(points)) < 3:
            point = [rng.randint(-reach, reach) for _ in range(2)]
            if point not in points:
                points.append(point)
        listed = ", ".join(f"{i}: ({x}, {y})" for i, (x, y) in enumerate(points, 1))
        question = (
            f"These numbered points are given (x to the right, y up):\n{listed}\nWhich of them are "
            "the corners of their convex hull, in counterclockwise order? Points on a side of the "
            "hull that are not its corners do not count."
        )
        return question, {"points": points}

    @staticmethod
    def _hull(points: Sequence[list[int]]) -> list[list[int]]:
        """Andrew's monotone chain, counterclockwise."""
        halves = []
        for way in (sorted(points), sorted(points, reverse=True)):
            chain: list[list[int]] = []
            for p in way:
                while len(chain) > 1 and cross(chain[-2], chain[-1], p) <= 0:
                    chain.pop()
                chain.append(p)
            halves += chain[:-1]
        return halves

    def solve(self, private: Private) -> str:
        points = private["points"]
        return ", ".join(str(points.index(p) + 1) for p in self._hull(points))

    def judge(self, private: Private, answer: str) -> bool:
        """Each side has all points to its left, each corner turns left, none comes twice."""
        said, points = integers(answer), private["points"]
        if len(said) < 3 or len(set(said)) < len(said):
            return False
        if not all(1 <= i <= len(points) for i in said):
            return False
        ring = [points[i - 1] for i in said]
        corners = zip(ring, ring[1:] + ring[:1], ring[2:] + ring[:2], strict=True)
        if any(cross(a, b, c) <= 0 for a, b, c in corners):
            return False
        return all(cross(a, b, p) >= 0 for a, b in edges(ring) for p in points)

    def size(self, private: Private) -> float:
        return len(private["points"])


GENERATORS: tuple[type[Generator], ...] = (
    LatticePointsInside,
    CircleThroughPoints,
    PointsInPolygon,
    ConvexHull,
)
