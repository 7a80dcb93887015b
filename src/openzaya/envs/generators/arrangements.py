"""Arrangements in order: ranks, listings and cycles through all of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from math import comb, factorial, prod
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integer, integers, letters

Private = Mapping[str, Any]


class WordRank(Generator):
    """The place of a word among all rearrangements of its letters."""

    name, family = "word_rank", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        length = 6 + difficulty // 2
        pool = rng.sample("abcdefghijklmnopqrstuvwxyz", min(26, 4 + difficulty // 3))
        word = "".join(pool[:3]) + "".join(rng.choice(pool) for _ in range(length - 3))
        word = "".join(rng.sample(word, length))
        question = (
            f"Write all different rearrangements of the letters of {word} in alphabetical order. "
            f"At which place is {word} itself, if the first rearrangement has place 1?"
        )
        return question, {"word": word}

    def solve(self, private: Private) -> str:
        """Letter by letter: all words that have a smaller letter here come before."""
        word, before = private["word"], 0
        for i, letter in enumerate(word):
            rest = word[i:]
            for smaller in sorted(set(rest)):
                if smaller < letter:
                    before += self._words(rest.replace(smaller, "", 1))
        return str(before + 1)

    @staticmethod
    def _words(text: str) -> int:
        return factorial(len(text)) // prod(factorial(text.count(c)) for c in set(text))

    def judge(self, private: Private, answer: str) -> bool:
        """From the place back to the word."""
        left = integer(answer) - 1
        rest = "".join(sorted(private["word"]))
        if not 0 <= left < self._words(rest):
            return False
        for letter in private["word"]:
            for first in sorted(set(rest)):
                words = self._words(rest.replace(first, "", 1))
                if left < words:
                    if first != letter:
                        return False
                    break
                left -= words
            rest = rest.replace(letter, "", 1)
        return True

    def size(self, private: Private) -> float:
        return len(private["word"])


class KthCombination(Generator):
    """The subset at a place of the list of all subsets of one size."""

    name, family = "kth_combination", "combinatorics"
    form = "the numbers of the selection in increasing order, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = rng.randint(8, 12) + difficulty
        k = rng.randint(3, 3 + n // 4)
        place = rng.randint(2, comb(n, k) - 1)
        question = (
            f"All selections of {k} different numbers from 1 to {n}, each written in increasing "
            "order, are listed so that a selection comes before another if it has the smaller "
            f"number at the first place where the two differ. Which selection is number {place} "
            "of this list (counted from 1)?"
        )
        return question, {"n": n, "k": k, "place": place}

    def solve(self, private: Private) -> str:
        n, k, left = private["n"], private["k"], private["place"] - 1
        chosen: list[int] = []
        for number in range(1, n + 1):
            if len(chosen) == k:
                break
            with_it = comb(n - number, k - len(chosen) - 1)
            if left < with_it:
                chosen.append(number)
            else:
                left -= with_it
        return ", ".join(map(str, chosen))

    def judge(self, private: Private, answer: str) -> bool:
        """By the place of the selection, from the selections behind it."""
        n, k = private["n"], private["k"]
        said = integers(answer, k)
        rising = all(a < b for a, b in pairwise(said))
        if not rising or said[0] < 1 or said[-1] > n:
            return False
        behind = sum(comb(n - number, k - i) for i, number in enumerate(said))
        return comb(n, k) - behind == private["place"]

    def size(self, private: Private) -> float:
        return private["n"] * private["k"]


class DeBruijnCycle(Generator):
    """A circle of letters that shows every word of one length once; every such circle is right."""

    name, family = "de_bruijn_cycle", "combinatorics"
    form = "the letters of the circle without spaces, starting with the given word,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        # By the length of the circle, up to where an answer would be a book.
        shapes = sorted(
            (k**n, k, n) for n in range(2, 14) for k in range(2, 27) if 8 <= k**n <= 9_000
        )
        _, k, n = shapes[min(difficulty // 2, len(shapes) - 1)]
        alphabet = "".join(sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", k)))
        start = "".join(rng.choice(alphabet) for _ in range(n))
        question = (
            f"Write the letters {', '.join(alphabet)} around a circle, each as often as you need, "
            f"so that every one of the {k**n} words of {n} letters over this alphabet can be read "
            f"clockwise at exactly one place. The circle has {k**n} letters; write it clockwise, "
            f"starting with the word {start}. Any such circle is accepted."
        )
        return question, {"alphabet": alphabet, "n": n, "start": start}

    def solve(self, private: Private) -> str:
        """Hierholzer: an Euler circuit over the words that are one letter shorter."""
        alphabet, n, start = private["alphabet"], private["n"], private["start"]
        used: dict[str, int] = {}
        stack, circuit = [start[: n - 1]], []
        while stack:
            node = stack[-1]
            if used.get(node, 0) < len(alphabet):
                letter = alphabet[used.get(node, 0)]
                used[node] = used.get(node, 0) + 1
                stack.append((node + letter)[1:])
            else:
                circuit.append(stack.pop())
        circle = "".join(node[-1] for node in circuit[::-1][1:])
        at = (circle + circle[: n - 1]).index(start)
        return circle[at:] + circle[:at]

    def judge(self, private: Private, answer: str) -> bool:
        said, alphabet, n = letters(answer).lower(), private["alphabet"], private["n"]
        count = len(alphabet) ** n
        if len(said) != count or not said.startswith(private["start"]):
            return False
        words = {(said + said[: n - 1])[i : i + n] for i in range(count)}
        return len(words) == count and set(said) <= set(alphabet)

    def size(self, private: Private) -> float:
        return len(private["alphabet"]) ** private["n"]


class SizedBlocks(Generator):
    """Groupings of people into teams whose sizes are bounded."""

    name, family = "sized_blocks", "combinatorics"
    form = "a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            people = rng.randint(7, 16) + difficulty
            teams = rng.randint(2, 4 + difficulty // 4)
            sizes = sorted(rng.sample(range(1, 8 + difficulty // 6), rng.randint(2, 4)))
            captains = rng.randint(2, min(teams, 3))
            private = {"people": people, "teams": teams, "sizes": sizes, "captains": captains}
            if int(self.solve(private)) > 20:
                break
        question = (
            f"{people} people, all different, are divided into exactly {teams} teams without names "
            f"or order. Each team has {', '.join(map(str, sizes[:-1]))} or {sizes[-1]} members. "
            f"{captains} of the people are captains; no team has two captains. In how many "
            "ways can this be done?"
        )
        return question, private

    def solve(self, private: Private) -> str:
        """The captains' teams are told apart by their captain, the other ones are not."""
        captains, teams, sizes = private["captains"], private["teams"], private["sizes"]
        others = private["people"] - captains
        ways = [1] + [0] * others  # people placed to ways, in teams that are told apart
        for team in range(teams):
            members = [m - 1 for m in sizes] if team < captains else sizes
            ways = [
                sum(ways[s - m] * comb(s, m) for m in members if m <= s) for s in range(others + 1)
            ]
        return str(ways[others] // factorial(teams - captains))

    def judge(self, private: Private, answer: str) -> bool:
        """Team by team, each named by its first member: captains come first in the line."""
        captains = private["captains"]
        ways = {(private["people"] - captains, captains): 1}  # (others, captains) left to ways
        for _ in range(private["teams"]):
            following: dict[tuple[int, int], int] = {}
            for (others, left), count in ways.items():
                pool = others if left else others - 1
                for size in private["sizes"]:
                    if size - 1 <= pool:
                        key = (pool - size + 1, max(left - 1, 0))
                        following[key] = following.get(key, 0) + count * comb(pool, size - 1)
            ways = following
        return integer(answer) == ways.get((0, 0), 0)

    def size(self, private: Private) -> float:
        return private["people"] * private["teams"]


class SubsetTour(Generator):
    """All selections of one size in a row, neighbours differing by one exchange."""

    name, family = "subset_tour", "combinatorics"
    form = "all selections in order as words of letters, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        # By the length of the list, up to where an answer would be a book.
        shapes = sorted((comb(n, k), n, k) for n in range(4, 27) for k in range(2, n // 2 + 1))
        shapes = [shape for shape in shapes if shape[0] <= 5000]
        count, n, k = shapes[min(difficulty // 3, len(shapes) - 1)]
        pool = sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", n))
        first = "".join(sorted(rng.sample(pool, k)))
        question = (
            f"List all {count} selections of {k} letters from {', '.join(pool)}, each exactly "
            f"once, so that any two neighbours in the list share all letters but one. Write a "
            f"selection as a word; the order of letters in a word does not matter. The list starts "
            f"with {first}. Any such list is accepted."
        )
        return question, {"pool": "".join(pool), "first": first}

    def solve(self, private: Private) -> str:
        """The revolving door order, its first selection renamed into the one asked for."""
        pool, first = private["pool"], private["first"]
        names = [*first, *(c for c in pool if c not in first)]
        tour = self._revolving(len(pool), len(first))
        return " ".join("".join(names[i] for i in chosen) for chosen in tour)

    def _revolving(self, n: int, k: int) -> list[list[int]]:
        """Those without n - 1, then those with it, backwards; starts with 0..k-1."""
        if k in (0, n):
            return [list(range(k))]
        return [
            *self._revolving(n - 1, k),
            *([*chosen, n - 1] for chosen in reversed(self._revolving(n - 1, k - 1))),
        ]

    def judge(self, private: Private, answer: str) -> bool:
        pool, k = set(private["pool"]), len(private["first"])
        words = answer.replace(",", " ").lower().split()
        if not words or not all(word.isascii() and word.isalpha() for word in words):
            raise Unparseable("words of letters were asked for")
        chosen = [frozenset(word) for word in words]
        if chosen[0] != set(private["first"]) or len(words) != comb(len(pool), k):
            return False
        if any(len(word) != k for word in words):
            return False
        if any(len(selection) != k or not selection <= pool for selection in chosen):
            return False
        near = all(len(a & b) == k - 1 for a, b in pairwise(chosen))
        return near and len(set(chosen)) == len(chosen)

    def size(self, private: Private) -> float:
        return comb(len(private["pool"]), len(private["first"]))


GENERATORS: tuple[type[Generator], ...] = (
    WordRank,
    KthCombination,
    DeBruijnCycle,
    SizedBlocks,
    SubsetTour,
)
