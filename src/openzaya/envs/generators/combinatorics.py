"""Counting: how many arrangements obey the rules."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import comb, factorial, prod
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integer

Private = Mapping[str, Any]


class ForbiddenSubstringCount(Generator):
    """Words over an alphabet that contain none of some words."""

    name, family = "forbidden_substring_count", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = "".join(sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randint(2, 4))))
        length = rng.randint(6, 9) + difficulty
        words: list[str] = []
        while len(words) < 2 + difficulty // 6:
            word = "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 3 + difficulty // 8)))
            if word not in words and len(set(word)) > 1:
                words.append(word)
        question = (
            f"How many words of exactly {length} letters from the alphabet {', '.join(alphabet)} "
            f"contain none of {', '.join(words)} as a block of neighbouring letters?"
        )
        return question, {"alphabet": alphabet, "length": length, "words": words}

    def solve(self, private: Private) -> str:
        """Words by their longest end that may still grow into a forbidden one."""
        words = private["words"]
        heads = {word[:i] for word in words for i in range(len(word))}
        counts = {"": 1}
        for _ in range(private["length"]):
            following: dict[str, int] = {}
            for end, count in counts.items():
                for letter in private["alphabet"]:
                    grown = end + letter
                    if any(grown.endswith(word) for word in words):
                        continue
                    while grown not in heads:
                        grown = grown[1:]
                    following[grown] = following.get(grown, 0) + count
            counts = following
        return str(sum(counts.values()))

    def judge(self, private: Private, answer: str) -> bool:
        """By where a forbidden word first ends (Guibas and Odlyzko, with correlations)."""
        # A word that holds another one forbids nothing new.
        words = [
            w for w in private["words"] if not any(v != w and v in w for v in private["words"])
        ]
        overlaps = {
            (v, w): [t for t in range(1, len(w)) if v[-t:] == w[:t]] for v in words for w in words
        }
        free = [1]
        first: dict[str, list[int]] = {w: [0] for w in words}  # words that first break it so, by n
        for n in range(1, private["length"] + 1):
            for w in words:
                start = n - len(w)
                ends = free[start] if start >= 0 else 0
                if start >= 0:
                    ends -= sum(first[v][start + t] for v in words for t in overlaps[v, w])
                first[w].append(ends)
            free.append(len(private["alphabet"]) * free[-1] - sum(first[w][n] for w in words))
        return integer(answer) == free[-1]

    def size(self, private: Private) -> float:
        return private["length"]


class LatticePaths(Generator):
    """Shortest ways through a grid in which some crossings are closed."""

    name, family = "lattice_paths", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            width, height = (rng.randint(4, 6) + difficulty // 2 for _ in range(2))
            cells = [[x, y] for x in range(width + 1) for y in range(height + 1)][1:-1]
            closed = sorted(rng.sample(cells, 3 + (width * height) // 12))
            private = {"width": width, "height": height, "closed": closed}
            if int(self.solve(private)) >= 5:
                break
        question = (
            f"A walk goes from (0, 0) to ({width}, {height}). Each step adds 1 to one of the two "
            "coordinates. These points must not be visited: "
            + ", ".join(f"({x}, {y})" for x, y in closed)
            + ". How many different walks are there?"
        )
        return question, private

    def solve(self, private: Private) -> str:
        closed = {(x, y) for x, y in private["closed"]}
        ways = [0] * (private["height"] + 1)
        ways[0] = 1
        for x in range(private["width"] + 1):
            for y in range(private["height"] + 1):
                below = ways[y - 1] if y else 0
                ways[y] = 0 if (x, y) in closed else ways[y] + below
        return str(ways[-1])

    def judge(self, private: Private, answer: str) -> bool:
        """By the first closed point on each free walk: free walks are binomials."""
        goal = (private["width"], private["height"])
        first: list[
            tuple[int, int, int]
        ] = []  # a closed point and the walks that first close there
        for x, y in [*sorted(map(tuple, private["closed"])), goal]:
            ways = comb(x + y, x)
            for a, b, count in first:
                if a <= x and b <= y:
                    ways -= count * comb(x - a + y - b, x - a)
            first.append((x, y, ways))
        return integer(answer) == first[-1][2]

    def size(self, private: Private) -> float:
        return private["width"] * private["height"]


class PartialDerangements(Generator):
    """Permutations with rules on how many points stay where they are."""

    name, family = "partial_derangements", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        groups = [rng.randint(2, 7 + difficulty // 3) for _ in range(2)]
        exactly = [rng.randint(0, people - 1) for people in groups]
        free = rng.randint(2, 6 + difficulty // 3)
        total = sum(groups) + free
        question = (
            f"{total} people put their hats into a box, and each draws one hat. {groups[0]} of the "
            f"people are left-handed, {groups[1]} others wear glasses, and nobody does both. In "
            f"how many ways can the hats be drawn so that exactly {exactly[0]} of the left-handed "
            f"people and exactly {exactly[1]} of those with glasses get their own hat? The "
            f"remaining {free} of the people may get any hat."
        )
        return question, {"groups": groups, "exactly": exactly, "free": free}

    def solve(self, private: Private) -> str:
        """Choose who keeps the hat; inclusion and exclusion over the rest of both groups."""
        chosen, moving, total = self._split(private)
        ways = sum((-1) ** j * comb(moving, j) * factorial(total - j) for j in range(moving + 1))
        return str(chosen * ways)

    @staticmethod
    def _split(private: Private) -> tuple[int, int, int]:
        """Choices of those who keep the hat; who must not; all who are left."""
        chosen = prod(
            comb(n, k) for n, k in zip(private["groups"], private["exactly"], strict=True)
        )
        moving = sum(private["groups"]) - sum(private["exactly"])
        return chosen, moving, moving + private["free"]

    def judge(self, private: Private, answer: str) -> bool:
        """By differences: one more person that must move takes away those where only he stays."""
        chosen, moving, total = self._split(private)
        row = [factorial(n) for n in range(total + 1)]
        for _ in range(moving):
            row = [0] + [row[n] - row[n - 1] for n in range(1, total + 1)]
        return integer(answer) == chosen * row[total]

    def size(self, private: Private) -> float:
        return sum(private["groups"]) + private["free"]


class BoundedPartitions(Generator):
    """Ways to pay an amount where each kind of coin is limited."""

    name, family = "bounded_partitions", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        kinds = 5 + difficulty // 4
        parts = sorted(rng.sample(range(1, 12 + difficulty), kinds))
        limits = [rng.randint(2, 6 + difficulty // 8) for _ in parts]
        total = sum(part * limit for part, limit in zip(parts, limits, strict=True)) // 2
        total -= rng.randint(0, total // 4)
        purse = ", ".join(f"{n} coins of {p}" for p, n in zip(parts, limits, strict=True))
        question = (
            f"A purse holds {purse}. Coins of one value cannot be told apart. In how many ways can "
            f"one pay exactly {total} from it, where only the number of coins of each value counts?"
        )
        return question, {"parts": parts, "limits": limits, "total": total}

    def solve(self, private: Private) -> str:
        """Ways by amount, packed into one number: a coin more is a shift."""
        pairs = list(zip(private["parts"], private["limits"], strict=True))
        bits = prod(limit + 1 for _, limit in pairs).bit_length()
        mask = (1 << bits * (private["total"] + 1)) - 1
        ways = 1
        for part, limit in pairs:
            ways = sum(ways << bits * part * n for n in range(limit + 1)) & mask
        return str(ways >> bits * private["total"])

    def judge(self, private: Private, answer: str) -> bool:
        """The product of (1 - x^(p (n+1))) / (1 - x^p), factor by factor."""
        total = private["total"]
        series = [1] + [0] * total
        for part, limit in zip(private["parts"], private["limits"], strict=True):
            for s in range(part, total + 1):
                series[s] += series[s - part]
            beyond = part * (limit + 1)
            for s in range(total, beyond - 1, -1):
                series[s] -= series[s - beyond]
        return integer(answer) == series[total]

    def size(self, private: Private) -> float:
        return private["total"] * len(private["parts"])


GENERATORS: tuple[type[Generator], ...] = (
    ForbiddenSubstringCount,
    LatticePaths,
    PartialDerangements,
    BoundedPartitions,
)
