"""Clues: an order or a code that fits everything that is known."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers
from openzaya.envs.generators.text import listed, spaced

_NAMES = (
    "Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas",
    "Karin", "Lukas", "Maria", "Nils", "Olga", "Peter", "Quentin", "Rosa", "Simon", "Tina",
    "Ulrich", "Vera", "Walter", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip


class SeatingOrder(Generator):
    """Any order of persons in a row that fits all clues."""

    name = "seating_order"
    family = "logic"
    form = "the names from left to right, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        names = [*_NAMES, *(f"Guest{i}" for i in range(27, n + 1))][:n]
        order = rng.sample(names, n)
        clues: list[list[Any]] = []
        while len(clues) < 2 * n:
            i, _, k = triple = sorted(rng.sample(range(n), 3))
            a, b, c = (order[at] for at in triple)
            kind = rng.choice(("left", "gap", "gap", "apart", "between", "next"))
            if kind == "left":
                clue = [kind, a, c, 0]
            elif kind == "gap":
                clue = [kind, *rng.sample((a, c), 2), k - i - 1]
            elif kind == "between":
                first, last = rng.sample((a, c), 2)
                clue = [kind, b, first, last]
            elif kind == "next":
                at = rng.randrange(n - 1)
                clue = [kind, order[at], order[at + 1], 0]
            else:
                clue = ["apart", *rng.sample((a, c), 2), 0]
            if clue not in clues:
                clues.append(clue)
        question = (
            f"{n} persons sit in a row of {n} seats: {listed(names)}.\n"
            + "\n".join(self._said(clue) for clue in clues)
            + "\nFind an order of the persons from left to right that fits all these facts. Any "
            "such order will do."
        )
        return question, {"names": names, "clues": clues, "planted": order}

    def _said(self, clue: list[Any]) -> str:
        kind, a, b, x = clue
        if kind == "left":
            return f"{a} sits somewhere to the left of {b}."
        if kind == "next":
            return f"{a} sits directly to the left of {b}."
        if kind == "apart":
            return f"{a} and {b} do not sit next to each other."
        if kind == "between":
            return f"{a} sits somewhere between {b} and {x}."
        return f"Exactly {x} {'person sits' if x == 1 else 'persons sit'} between {a} and {b}."

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        order = [part.lower() for part in re.split(r"[,\s]+", answer.strip()) if part]
        place = {name: i for i, name in enumerate(order)}
        if len(place) < len(order) or place.keys() != {n.lower() for n in private["names"]}:
            raise Unparseable("every name once was asked for")
        for kind, first, second, x in private["clues"]:
            a, b = place[first.lower()], place[second.lower()]
            fits = {
                "left": a < b,
                "next": a + 1 == b,
                "apart": abs(a - b) > 1,
                "gap": abs(a - b) - 1 == x,
            }
            if kind == "between":
                c = place[x.lower()]
                fits["between"] = b < a < c or c < a < b
            if not fits[kind]:
                return False
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["names"])


class MastermindCode(Generator):
    """Any code that explains all answers given so far."""

    name = "mastermind_code"
    family = "logic"
    form = "the numbers of such a code in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, colours = 4 + difficulty // 2, 6 + difficulty // 2
        code = [rng.randint(1, colours) for _ in range(n)]
        tries: list[list[Any]] = []
        while len(tries) < 6 + difficulty:
            # Half of the code, shuffled noise else: answers that say something.
            guess = [c if rng.random() < 0.4 else rng.randint(1, colours) for c in code]
            guess = guess if rng.random() < 0.5 else rng.sample(guess, n)
            if guess != code:
                tries.append([guess, *self._pegs(code, guess)])
        lines = "\n".join(
            f"{spaced(g)}: {black} in the right place, {white} in a wrong place"
            for g, black, white in tries
        )
        question = (
            f"A secret code consists of {n} numbers from 1 to {colours}; numbers may repeat. For "
            "each guess it was said how many numbers are right and in the right place, and how "
            "many of the others can be paired with an equal number of the code in another place, "
            f"each number of the code being used at most once:\n{lines}\n"
            "Find a code that fits all these answers. Any such code will do."
        )
        return question, {"n": n, "colours": colours, "tries": tries, "planted": code}

    def _pegs(self, code: list[int], guess: list[int]) -> tuple[int, int]:
        black = sum(a == b for a, b in zip(code, guess, strict=True))
        common = sum(min(code.count(c), guess.count(c)) for c in sorted(set(code)))
        return black, common - black

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        code = integers(answer, private["n"])
        if not all(1 <= c <= private["colours"] for c in code):
            return False
        for guess, black, white in private["tries"]:
            open_code, open_guess = [], []
            for a, b in zip(code, guess, strict=True):
                if a != b:
                    open_code.append(a)
                    open_guess.append(b)
            if len(code) - len(open_code) != black:
                return False
            for a in open_guess:
                if a in open_code:
                    open_code.remove(a)
            if len(open_guess) - len(open_code) != white:
                return False
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"] * len(private["tries"])


GENERATORS: tuple[type[Generator], ...] = (SeatingOrder, MastermindCode)
