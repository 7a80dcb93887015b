"""Motions, lines and areas in the plane; every answer is exact."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.geometry import cross, shown
from openzaya.envs.generators.parse import Unparseable, integers

Private = Mapping[str, Any]


class PointTransforms(Generator):
    """A point moved by reflections, rotations and stretchings, forwards or backwards."""

    name, family = "point_transforms", "geometry"
    form = "x and y as whole numbers, separated by a comma,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        kinds = ("shift", "mirror_x", "mirror_y", "mirror_up", "mirror_down", "turn", "shear")
        steps: list[list[Any]] = []
        for _ in range(3 + difficulty):
            kind, a, b = rng.choice(kinds), rng.randint(-9, 9), rng.randint(-9, 9)
            if kind == "shear":
                a = rng.choice((-2, -1, 1, 2)) if len(steps) % 3 == 0 else rng.choice((-1, 1))
            steps.append([kind, a, b])
        start = [rng.randint(-20, 20) for _ in range(2)]
        point = start
        for kind, a, b in steps:
            point = self._moved(point, kind, a, b)
        forwards = rng.random() < 0.5
        lines = [f"{i}. {self._told(*step)}" for i, step in enumerate(steps, 1)]
        asked = (
            f"The point ({start[0]}, {start[1]}) is moved like this. Where does it end?"
            if forwards
            else f"A point was moved like this and ended at ({point[0]}, {point[1]}). "
            "Where did it start?"
        )
        question = (
            "Points of the plane are moved by these steps, one after the other:\n"
            + "\n".join(lines)
            + f"\n{asked}"
        )
        return question, {"steps": steps, "start": start, "end": point, "forwards": forwards}

    @staticmethod
    def _told(kind: str, a: int, b: int) -> str:
        return {
            "shift": f"Add {a} to x and {b} to y.",
            "mirror_x": f"Reflect in the vertical line x = {a}.",
            "mirror_y": f"Reflect in the horizontal line y = {a}.",
            "mirror_up": f"Reflect in the line y = x + {a}.".replace("+ -", "- "),
            "mirror_down": f"Reflect in the line y = -x + {a}.".replace("+ -", "- "),
            "turn": f"Rotate by 90 degrees counterclockwise about ({a}, {b}).",
            "shear": f"Add {a} times y to x; y stays.",
        }[kind]

    @staticmethod
    def _moved(point: Sequence[int], kind: str, a: int, b: int) -> list[int]:
        x, y = point
        match kind:
            case "shift":
                return [x + a, y + b]
            case "mirror_x":
                return [2 * a - x, y]
            case "mirror_y":
                return [x, 2 * a - y]
            case "mirror_up":
                return [y - a, x + a]
            case "mirror_down":
                return [a - y, a - x]
            case "turn":
                return [a - (y - b), b + (x - a)]
            case _:
                return [x + a * y, y]

    def solve(self, private: Private) -> str:
        """Backwards by the inverse of each step; a reflection is its own."""
        if private["forwards"]:
            point = private["start"]
            for step in private["steps"]:
                point = self._moved(point, *step)
        else:
            point = private["end"]
            for kind, a, b in reversed(private["steps"]):
                if kind == "turn":
                    for _ in range(3):
                        point = self._moved(point, kind, a, b)
                else:
                    sign = 1 if kind.startswith("mirror") else -1
                    point = self._moved(point, kind, sign * a, sign * b)
        return f"{point[0]}, {point[1]}"

    def judge(self, private: Private, answer: str) -> bool:
        """All steps as one affine map, found from what they do to three points."""
        images = []
        for point in ([0, 0], [1, 0], [0, 1]):
            for step in private["steps"]:
                point = self._moved(point, *step)
            images.append(point)
        (ox, oy), (ux, uy), (vx, vy) = images
        said = integers(answer, 2)
        x, y = private["start"] if private["forwards"] else said
        image = [ox + x * (ux - ox) + y * (vx - ox), oy + x * (uy - oy) + y * (vy - oy)]
        return image == (said if private["forwards"] else private["end"])

    def size(self, private: Private) -> float:
        return len(private["steps"])


class SegmentCrossings(Generator):
    """All pairs of segments that meet."""

    name, family = "segment_crossings", "geometry"
    form = "the pairs in any order, such as 1-4, 2-3,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        reach, count = 8 + difficulty, 6 + difficulty // 2
        while True:
            segments = []
            while len(segments) < count:
                a = [rng.randint(-reach, reach) for _ in range(2)]
                b = [c + rng.randint(-reach // 2, reach // 2) for c in a]
                if a != b:
                    segments.append([a, b])
            if len(self._meeting(segments)) >= 2:
                break
        lines = [f"{i}: from {shown([a])} to {shown([b])}" for i, (a, b) in enumerate(segments, 1)]
        question = (
            "These numbered segments are given:\n"
            + "\n".join(lines)
            + "\nWhich pairs of them have "
            "at least one point in common? End points belong to their segment."
        )
        return question, {"segments": segments}

    @staticmethod
    def _meeting(segments: Sequence[Any]) -> set[tuple[int, int]]:
        """By orientations: each separates the other's ends; on one line, by the boxes."""
        found = set()
        for (i, (a, b)), (j, (c, d)) in combinations(enumerate(segments, 1), 2):
            boxes = all(
                max(min(a[k], b[k]), min(c[k], d[k])) <= min(max(a[k], b[k]), max(c[k], d[k]))
                for k in range(2)
            )
            apart = cross(a, b, c) * cross(a, b, d) > 0 or cross(c, d, a) * cross(c, d, b) > 0
            if boxes and not apart:
                found.add((i, j))
        return found

    def solve(self, private: Private) -> str:
        return ", ".join(f"{i}-{j}" for i, j in sorted(self._meeting(private["segments"])))

    def judge(self, private: Private, answer: str) -> bool:
        pairs = re.split(r"[,;\s]+", answer.strip(" \n,;[]{}"))
        if not all(re.fullmatch(r"\(?[0-9]{1,6}-[0-9]{1,6}\)?", pair) for pair in pairs):
            raise Unparseable("pairs such as 1-4, 2-3 were asked for")
        said = [sorted(map(int, pair.strip("()").split("-"))) for pair in pairs]
        found = {(i, j) for i, j in said}
        return len(found) == len(said) and found == self._common(private["segments"])

    @staticmethod
    def _common(segments: Sequence[Any]) -> set[tuple[int, int]]:
        """By solving for the point where the lines meet; parallels by their end points."""
        found = set()
        for (i, (p, q)), (j, (r, s)) in combinations(enumerate(segments, 1), 2):
            ux, uy, vx, vy = q[0] - p[0], q[1] - p[1], s[0] - r[0], s[1] - r[1]
            wx, wy = r[0] - p[0], r[1] - p[1]
            det = ux * vy - uy * vx
            if det:
                t, w = Fraction(wx * vy - wy * vx, det), Fraction(wx * uy - wy * ux, det)
                meet = 0 <= t <= 1 and 0 <= w <= 1
            else:
                # On one line, the nearer end of one lies between the ends of the other.
                along = sorted([p, q]), sorted([r, s])
                same = ux * wy == uy * wx
                meet = same and max(along[0][0], along[1][0]) <= min(along[0][1], along[1][1])
            if meet:
                found.add((i, j))
        return found

    def size(self, private: Private) -> float:
        return len(private["segments"])


GENERATORS: tuple[type[Generator], ...] = (
    PointTransforms,
    SegmentCrossings,
)
