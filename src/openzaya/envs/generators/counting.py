"""Counting by cases, by divisors and up to symmetry."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import comb, gcd, lcm
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integer

Private = Mapping[str, Any]


class CommitteeCount(Generator):
    """Committees with quotas and with people who will not sit together."""

    name, family = "committee_count", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        groups: list[list[int]] = []
        while (most := sum(high for _, _, high in groups)) < 5:
            groups = []
            for _ in range(2 + difficulty // 6):
                people = rng.randint(4 + difficulty // 4, 8 + difficulty // 3)
                low = rng.randint(0, 2)
                groups.append([people, low, rng.randint(low + 1, people)])
        seats = rng.randint(max(2, sum(low for _, low, _ in groups) + 1), most - 1)
        lines = [
            f"Party {i} has {people} members, of whom at least {low} and at most {high} are chosen."
            for i, (people, low, high) in enumerate(groups, 1)
        ]
        question = (
            f"A committee of exactly {seats} people is chosen. "
            + " ".join(lines)
            + " Anna of party 1 and Boris of party 2 must not both be chosen. "
            "How many different committees are possible?"
        )
        return question, {"groups": groups, "seats": seats}

    def solve(self, private: Private) -> str:
        """All committees less those that hold both."""
        groups, seats = private["groups"], private["seats"]
        both = [[n - 1, low - 1, high - 1] if i < 2 else [n, low, high]
                for i, (n, low, high) in enumerate(groups)]  # fmt: skip
        return str(self._count(groups, seats) - self._count(both, seats - 2))

    @staticmethod
    def _count(groups: list[list[int]], seats: int) -> int:
        ways = [1]
        for people, low, high in groups:
            chosen = [comb(people, k) if low <= k <= high else 0 for k in range(people + 1)]
            grown = [0] * (len(ways) + people)
            for i, x in enumerate(ways):
                for k, y in enumerate(chosen):
                    grown[i + k] += x * y
            ways = grown
        return ways[seats] if 0 <= seats < len(ways) else 0

    def judge(self, private: Private, answer: str) -> bool:
        """By who of the two is in: neither, Anna alone, Boris alone."""
        groups, seats, total = private["groups"], private["seats"], 0
        for anna, boris in ((0, 0), (1, 0), (0, 1)):
            ins = (anna, boris, *[0] * len(groups))
            rest = [
                [n - 1, low - x, high - x] if i < 2 else [n, low, high]
                for i, ((n, low, high), x) in enumerate(zip(groups, ins, strict=False))
            ]
            total += self._count(rest, seats - anna - boris)
        return integer(answer) == total

    def size(self, private: Private) -> float:
        return sum(people for people, _, _ in private["groups"])


class DivisibilityExactly(Generator):
    """Numbers up to a bound that a given number of divisors divide."""

    name, family = "divisibility_exactly", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        divisors = sorted(rng.sample(range(2, 13 + difficulty), 3 + difficulty // 10))
        exactly = rng.randint(1, 2)
        bound = rng.randint(200, 1000) * (1 + difficulty) ** 2
        question = (
            f"How many of the whole numbers from 1 to {bound} are divisible by exactly {exactly} "
            f"of the numbers {', '.join(map(str, divisors))}?"
        )
        return question, {"divisors": divisors, "exactly": exactly, "bound": bound}

    def solve(self, private: Private) -> str:
        """Inclusion and exclusion: sets of j divisors count (-1)^(j - r) C(j, r) times."""
        bound, r = private["bound"], private["exactly"]
        sets: dict[tuple[int, int], int] = {(1, 0): 1}  # (common multiple, how many) to number
        for divisor in private["divisors"]:
            for (multiple, j), count in list(sets.items()):
                grown = lcm(multiple, divisor)
                if grown <= bound:
                    sets[grown, j + 1] = sets.get((grown, j + 1), 0) + count
        return str(
            sum(
                count * (-1) ** (j - r) * comb(j, r) * (bound // multiple)
                for (multiple, j), count in sets.items()
                if j >= r
            )
        )

    def judge(self, private: Private, answer: str) -> bool:
        """By dividing the range again and again: multiples of a divisor, and the others."""
        bound, divisors = private["bound"], private["divisors"]
        known: dict[tuple[int, int, int], int] = {}

        def count(step: int, at: int, left: int) -> int:
            """Multiples of `step` up to the bound that exactly `left` of divisors[at:] divide."""
            if step > bound or left < 0 or left > len(divisors) - at:
                return 0
            if at == len(divisors):
                return bound // step
            key = step, at, left
            if key not in known:
                both = lcm(step, divisors[at])
                # Those that divisors[at] divides, and all less those, each with the rest's rule.
                known[key] = (
                    count(both, at + 1, left - 1)
                    + count(step, at + 1, left)
                    - count(both, at + 1, left)
                )
            return known[key]

        return integer(answer) == count(1, 0, private["exactly"])

    def size(self, private: Private) -> float:
        return len(private["divisors"]) * private["bound"]


class NecklaceCount(Generator):
    """Necklaces of given beads; a turned necklace is the same."""

    name, family = "necklace_count", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        colours = ["amber", "blue", "coral", "green", "ivory", "jet", "red", "white"]
        kinds = rng.randint(3, min(8, 4 + difficulty // 6))
        factor = rng.choice((1, 2, 2, 3))
        beads = [factor * rng.randint(1, 3 + (1 + difficulty) // 4) for _ in range(kinds)]
        names = rng.sample(colours, kinds)
        content = ", ".join(f"{n} {name}" for n, name in zip(beads, names, strict=True))
        question = (
            f"A closed necklace is made of these beads, all of them used: {content}. Beads of one "
            "colour are alike. Two necklaces are the same if one can be rotated into the other; "
            "turning over is not allowed. How many different necklaces are there?"
        )
        return question, {"beads": beads}

    def solve(self, private: Private) -> str:
        """Burnside: a rotation with d cycles of equal length fixes the words of a d-th part."""
        beads = private["beads"]
        total = sum(beads)
        fixed = 0
        for turn in range(total):
            length = total // gcd(turn, total)
            if all(n % length == 0 for n in beads):
                fixed += self._words([n // length for n in beads])
        return str(fixed // total)

    @staticmethod
    def _words(counts: list[int]) -> int:
        words, used = 1, 0
        for n in counts:
            used += n
            words *= comb(used, n)
        return words

    def judge(self, private: Private, answer: str) -> bool:
        """By periods: words whose least period is p make necklaces p at a time."""
        beads = private["beads"]
        common, total = gcd(*beads), sum(beads)
        primitive: dict[int, int] = {}  # repeats to words that repeat exactly so often
        for repeats in range(common, 0, -1):
            if common % repeats == 0:
                words = self._words([n // repeats for n in beads])
                finer = sum(w for r, w in primitive.items() if r % repeats == 0)
                primitive[repeats] = words - finer
        return integer(answer) == sum(w * r // total for r, w in primitive.items())

    def size(self, private: Private) -> float:
        return sum(private["beads"])


GENERATORS: tuple[type[Generator], ...] = (
    CommitteeCount,
    DivisibilityExactly,
    NecklaceCount,
)
