"""Codes and shuffles, undone."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, letters
from openzaya.envs.generators.strings import ALPHABET, drawn, some

Private = Mapping[str, Any]


class VigenereCrib(Generator):
    """A cipher is broken with one known message, then used on another."""

    name, family = "vigenere_crib", "strings"
    form = "the second message in clear letters"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        period = 3 + difficulty // 2
        key = [rng.randrange(1, 26) for _ in range(period)]
        known = drawn(rng, period + rng.randint(1, 3), ALPHABET)
        secret = drawn(rng, 6 + difficulty, ALPHABET)
        offset = rng.randrange(period)
        question = (
            "Each letter of a message is moved forward in the alphabet (after z comes a) by the "
            f"next number of a secret key of {period} numbers; after its last number the key "
            f"begins again. The first message {known} was written as {self._moved(known, key, 1)}, "
            f"beginning with the first number of the key. A second message begins with number "
            f"{offset + 1} of the same key and was written as "
            f"{self._moved(secret, key[offset:] + key[:offset], 1)}. What is the second message?"
        )
        private = {
            "period": period,
            "known": [known, self._moved(known, key, 1)],
            "offset": offset,
            "cipher": self._moved(secret, key[offset:] + key[:offset], 1),
        }
        return question, private

    @staticmethod
    def _moved(text: str, key: list[int], sign: int) -> str:
        return "".join(
            ALPHABET[(ALPHABET.index(c) + sign * key[i % len(key)]) % 26]
            for i, c in enumerate(text)
        )

    def _key(self, private: Private) -> list[int]:
        clear, cipher = private["known"]
        pairs = zip(clear, cipher, strict=True)
        key = [(ord(y) - ord(x)) % 26 for x, y in pairs][: private["period"]]
        return key[private["offset"] :] + key[: private["offset"]]

    def solve(self, private: Private) -> str:
        return self._moved(private["cipher"], self._key(private), -1)

    def judge(self, private: Private, answer: str) -> bool:
        """By encoding what is said."""
        return self._moved(letters(answer).lower(), self._key(private), 1) == private["cipher"]

    def size(self, private: Private) -> float:
        return private["period"] + len(private["cipher"])


class NestedRepeats(Generator):
    """Brackets with counts, written out."""

    name, family = "nested_repeats", "strings"
    form = "the word written out, without spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        budget = 14 + 6 * difficulty
        text = self._code(rng, budget, 2 + difficulty // 4)
        question = (
            "In a code, a number in front of parentheses says how often their content is "
            "repeated; 2(a3(b)) means abbbabbb. Letters and parentheses that follow one another "
            f"are joined. Write out\n{text}"
        )
        return question, {"text": text}

    def _code(self, rng: random.Random, budget: int, depth: int) -> str:
        """A code for at most about `budget` letters, nested at most `depth` deep."""
        text = drawn(rng, rng.randint(1, 2), ALPHABET)
        while budget > 4:
            if depth and rng.random() < 0.75:
                times = rng.randint(2, 4)
                spent = rng.randint(budget // 2, budget)
                text += f"{times}({self._code(rng, spent // times, depth - 1)})"
                budget -= spent
            else:
                piece = drawn(rng, rng.randint(1, 3), ALPHABET)
                text, budget = text + piece, budget - len(piece)
        return text

    def solve(self, private: Private) -> str:
        """From left to right, with a stack of what waits outside."""
        outside: list[tuple[str, int]] = []
        now, number = "", ""
        for c in private["text"]:
            if c.isdigit():
                number += c
            elif c == "(":
                outside.append((now, int(number)))
                now, number = "", ""
            elif c == ")":
                before, times = outside.pop()
                now = before + times * now
            else:
                now += c
        return now

    def judge(self, private: Private, answer: str) -> bool:
        """By writing out innermost parentheses until none is left."""
        text = private["text"]
        while "(" in text:
            text = re.sub(r"([0-9]+)\(([a-z]*)\)", lambda m: int(m[1]) * m[2], text)
        return letters(answer).lower() == text

    def size(self, private: Private) -> float:
        return len(self.solve(private))


class Unshuffle(Generator):
    """Two words were shuffled into one; which letter comes from which?"""

    name, family = "unshuffle", "strings"
    form = "a row of digits 1 and 2 without spaces, one digit for each letter,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, 2 + difficulty // 12)
        a, b = (drawn(rng, 6 + difficulty, alphabet) for _ in range(2))
        marks = ["1"] * len(a) + ["2"] * len(b)
        rng.shuffle(marks)
        first, second = iter(a), iter(b)
        mixed = "".join(next(first if mark == "1" else second) for mark in marks)
        question = (
            f"The words {a} and {b} were shuffled into {mixed}, as one shuffles cards: the letters "
            "of each word kept their order. Mark every letter of the shuffled word with the "
            "word, 1 or 2, that it comes from. If several ways are possible, any is accepted."
        )
        return question, {"a": a, "b": b, "mixed": mixed}

    def solve(self, private: Private) -> str:
        """Which beginnings of the first word are possible after each letter; then backwards."""
        a, b, mixed = private["a"], private["b"], private["mixed"]
        reached = [{0}]  # letters used of the first word
        for at, c in enumerate(mixed):
            following = {i + 1 for i in reached[-1] if i < len(a) and a[i] == c}
            following |= {i for i in reached[-1] if at - i < len(b) and b[at - i] == c}
            reached.append(following)
        i, marks = len(a), []
        for at in range(len(mixed) - 1, -1, -1):
            if i and i - 1 in reached[at] and a[i - 1] == mixed[at]:
                i -= 1
                marks.append("1")
            else:
                marks.append("2")
        return "".join(reversed(marks))

    def judge(self, private: Private, answer: str) -> bool:
        marks, mixed = "".join(answer.split()), private["mixed"]
        if not re.fullmatch(r"[12]{1,10000}", marks):
            raise Unparseable("a row of digits 1 and 2 was asked for")
        if len(marks) != len(mixed):
            return False
        parts = {"1": "", "2": ""}
        for mark, letter in zip(marks, mixed, strict=True):
            parts[mark] += letter
        return parts == {"1": private["a"], "2": private["b"]}

    def size(self, private: Private) -> float:
        return len(private["mixed"])


class BurrowsWheelerInverse(Generator):
    """A word from the last column of its sorted rotations."""

    name, family = "burrows_wheeler_inverse", "strings"
    form = "the word without the mark"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, rng.randint(3, 5))
        word = drawn(rng, 7 + difficulty, alphabet)
        coded = self._coded(word)
        question = (
            "A word was coded like this: the mark $ was put at its end; all rotations of the "
            "result were sorted in alphabetical order, where $ comes before all letters; the code "
            f"consists of the last characters of the sorted rotations, from the first to the last. "
            f"The code is {coded}. What is the word?"
        )
        return question, {"coded": coded}

    @staticmethod
    def _coded(word: str) -> str:
        marked = word + "$"
        return "".join(r[-1] for r in sorted(marked[i:] + marked[:i] for i in range(len(marked))))

    def solve(self, private: Private) -> str:
        """Equal letters keep their order from the last column to the first."""
        coded = private["coded"]
        first = sorted(range(len(coded)), key=lambda i: (coded[i], i))
        at, word = coded.index("$"), ""
        for _ in range(len(coded) - 1):
            at = first[at]
            word += coded[at]
        return word

    def judge(self, private: Private, answer: str) -> bool:
        said = letters(answer).lower()
        return len(said) == len(private["coded"]) - 1 and self._coded(said) == private["coded"]

    def size(self, private: Private) -> float:
        return len(private["coded"])


GENERATORS: tuple[type[Generator], ...] = (
    VigenereCrib,
    NestedRepeats,
    Unshuffle,
    BurrowsWheelerInverse,
)
