"""Codes, patterns and orders of words."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers
from openzaya.envs.generators.strings import ALPHABET, drawn, some

Private = Mapping[str, Any]


class WildcardMatches(Generator):
    """All places where a pattern with gaps fits a text."""

    name, family = "wildcard_matches", "strings"
    form = "the places in any order, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, 2 + difficulty // 12)
        length = 3 + difficulty // 8
        pattern = [*drawn(rng, length, alphabet)]
        for i in rng.sample(range(1, length - 1), 1 + difficulty // 16):
            pattern[i] = "?"
        laid = [*drawn(rng, 26 + 4 * difficulty, alphabet)]
        for _ in range(3 + difficulty // 4):  # it shall fit somewhere
            start = rng.randrange(len(laid) - length + 1)
            for i, c in enumerate(pattern, start):
                laid[i] = laid[i] if c == "?" else c
        text = "".join(laid)
        question = (
            f"The pattern {''.join(pattern)} is laid on the text\n{text}\nA question mark fits any "
            "one letter, other letters fit themselves. At which places does the pattern fit (the "
            "place is the number of the letter of the text below the first letter of the pattern, "
            "counted from 1)? Fits may overlap."
        )
        return question, {"text": text, "pattern": "".join(pattern)}

    @staticmethod
    def _found(text: str, pattern: str) -> list[int]:
        """Bit by bit: for each letter of the pattern, where the text allows it."""
        fits = (1 << (len(text) - len(pattern) + 1)) - 1
        for i, wanted in enumerate(pattern):
            if wanted != "?":
                fits &= sum(1 << at for at, c in enumerate(text) if c == wanted) >> i
        return [at + 1 for at in range(len(text)) if fits >> at & 1]

    def solve(self, private: Private) -> str:
        return ", ".join(map(str, self._found(private["text"], private["pattern"])))

    def judge(self, private: Private, answer: str) -> bool:
        said, pattern = integers(answer), private["pattern"].replace("?", ".")
        found = [m.start() + 1 for m in re.finditer(f"(?={pattern})", private["text"])]
        return sorted(said) == found

    def size(self, private: Private) -> float:
        return len(private["text"])


class RotationClasses(Generator):
    """Words that are rotations of each other, put together."""

    name, family = "rotation_classes", "strings"
    form = "the groups, one a line, with spaces between the words of a group,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet, length = some(rng, 2), 6 + difficulty // 6
        words: list[str] = []
        while len(words) < 7 + difficulty:
            word = drawn(rng, length, alphabet)
            if words and rng.random() < 0.7:
                turn, old = rng.randrange(1, length), rng.choice(words)
                word = old[turn:] + old[:turn]
            if word not in words:
                words.append(word)
        rng.shuffle(words)
        question = (
            "Two words belong together if one becomes the other when some letters are moved from "
            "its beginning to its end, in the same order (abcd and cdab, for example). Put these "
            f"words into groups:\n{' '.join(words)}\nWords with no partner are groups of their own."
            " The order of groups, and of words in a group, does not matter."
        )
        return question, {"words": words}

    def solve(self, private: Private) -> str:
        """By the first of all rotations in alphabetical order."""
        groups: dict[str, list[str]] = {}
        for word in private["words"]:
            groups.setdefault(min(word[i:] + word[:i] for i in range(len(word))), []).append(word)
        return "\n".join(" ".join(group) for group in groups.values())

    def judge(self, private: Private, answer: str) -> bool:
        """Within a group each is found in another one written twice, across groups none is."""
        lines = [re.sub(r"[,;]", " ", line).lower().split() for line in answer.splitlines()]
        groups = [line for line in lines if line]
        said = [word for group in groups for word in group]
        if not said or not all(word.isascii() and word.isalpha() for word in said):
            raise Unparseable("lines of words were asked for")
        if sorted(said) != sorted(private["words"]):
            return False
        heads = [group[0] + group[0] for group in groups]
        for i, group in enumerate(groups):
            if any((word in head) != (i == j) for word in group for j, head in enumerate(heads)):
                return False
        return True

    def size(self, private: Private) -> float:
        return len(private["words"])


class LyndonFactors(Generator):
    """A word cut into words that rise within themselves and fall among each other."""

    name, family = "lyndon_factors", "strings"
    form = "the pieces in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = "".join(sorted(rng.sample(ALPHABET, rng.randint(2, 3))))
        while True:
            word = drawn(rng, 10 + 2 * difficulty, alphabet)
            if len(self._pieces(word)) >= 3:
                break
        question = (
            "A word is called rising if it comes before each of its own proper endings in "
            "alphabetical order (a word comes before every longer word that begins with it; a "
            f"single letter is rising). Cut the word {word} into rising pieces so that no piece "
            "comes before its successor in alphabetical order; a piece may equal its successor. "
            "There is exactly one way to do so."
        )
        return question, {"word": word}

    @staticmethod
    def _pieces(word: str) -> list[str]:
        """Duval's algorithm."""
        pieces, i = [], 0
        while i < len(word):
            j, k = i + 1, i
            while j < len(word) and word[k] <= word[j]:
                k = i if word[k] < word[j] else k + 1
                j += 1
            while i <= k:
                pieces.append(word[i : i + j - k])
                i += j - k
        return pieces

    def solve(self, private: Private) -> str:
        return " ".join(self._pieces(private["word"]))

    def judge(self, private: Private, answer: str) -> bool:
        """By the definition."""
        pieces = re.sub(r"[,|]", " ", answer).lower().split()
        if not pieces or not all(piece.isascii() and piece.isalpha() for piece in pieces):
            raise Unparseable("words were asked for")
        if "".join(pieces) != private["word"]:
            return False
        rising = all(piece < piece[i:] for piece in pieces for i in range(1, len(piece)))
        return rising and all(a >= b for a, b in pairwise(pieces))

    def size(self, private: Private) -> float:
        return len(private["word"])


GENERATORS: tuple[type[Generator], ...] = (
    WildcardMatches,
    RotationClasses,
    LyndonFactors,
)
