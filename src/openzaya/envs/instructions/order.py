"""Lists in an order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import adjective, word_without
from openzaya.envs.instructions.markdown import bullets, numbers, with_bullets, with_numbers


@dataclass(frozen=True)
class AlphabeticalList(Constraint):
    kind = "alphabetical_list"
    claims = frozenset({"bullets"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 7))

    def instruction(self) -> str:
        return (
            f'Include a list of exactly {self.n} different bullet points (lines that begin with "- '
            '"), each of which begins with a letter, in alphabetical order.'
        )

    def check(self, text: str) -> bool:
        items = [item.casefold() for item in bullets(text)]
        if len(items) != self.n or len(set(items)) != self.n:
            return False
        return items == sorted(items) and all(item[0].isalpha() for item in items)

    def make(self, text: str, rng: random.Random) -> str:
        items: set[str] = set()
        while len(items) < self.n:
            items.add(f"{word_without('', rng)} and {adjective(rng)} {word_without('', rng)}")
        return with_bullets(text, sorted(items), rng)

    def violate(self, text: str) -> str:
        first, last = bullets(text)[0], bullets(text)[-1]
        turn = {f"- {first}": f"- {last}", f"- {last}": f"- {first}"}
        return "\n".join(turn.get(row.strip(), row) for row in text.split("\n"))


@dataclass(frozen=True)
class Countdown(Constraint):
    kind = "countdown"
    claims = frozenset({"numbered"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 7))

    def instruction(self) -> str:
        return (
            f"Include exactly one numbered list of {self.n} lines that counts down: its lines "
            f'begin with "{self.n}. " first and "1. " last.'
        )

    def check(self, text: str) -> bool:
        return numbers(text) == [str(i) for i in range(self.n, 0, -1)]

    def make(self, text: str, rng: random.Random) -> str:
        return with_numbers(text, list(range(self.n, 0, -1)), rng)

    def violate(self, text: str) -> str:
        return text.replace("1. ", "2. ")


@dataclass(frozen=True)
class GrowingList(Constraint):
    kind = "growing_list"
    claims = frozenset({"bullets"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 6))

    def instruction(self) -> str:
        return (
            f'Include a list of exactly {self.n} bullet points (lines that begin with "- "), each '
            "with more characters than the one above it."
        )

    def check(self, text: str) -> bool:
        sizes = [len(item) for item in bullets(text)]
        return len(sizes) == self.n and all(a < b for a, b in pairwise(sizes))

    def make(self, text: str, rng: random.Random) -> str:
        items = [f"the {adjective(rng)} {word_without('', rng)}"]
        while len(items) < self.n:
            items.append(f"{items[-1]} and {adjective(rng)}")
        return with_bullets(text, items, rng)

    def violate(self, text: str) -> str:
        shortest = bullets(text)[0]
        return text.replace(f"- {shortest}", f"- {shortest}{'o' * len(text)}", 1)
