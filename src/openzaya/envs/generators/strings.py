"""Subsequences, edits and repairs of words: many best answers, all of them right."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, letters

Private = Mapping[str, Any]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def some(rng: random.Random, count: int) -> str:
    """`count` different letters, or all of them."""
    return "".join(rng.sample(ALPHABET, min(count, len(ALPHABET))))


def drawn(rng: random.Random, length: int, alphabet: str) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def is_subsequence(short: str, long: str) -> bool:
    """Whether `short` is left when letters of `long` are taken out."""
    rest = iter(long)
    return all(letter in rest for letter in short)


class PalindromicSubsequence(Generator):
    """A longest palindrome that is left when letters are taken out."""

    name, family = "palindromic_subsequence", "strings"
    form = "the palindrome"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, 4 + difficulty // 6)
        text = drawn(rng, 9 + difficulty, alphabet)
        question = (
            f"Take letters out of {text}, without changing the order of those that stay, so that "
            "a palindrome is left (a word that is the same read backwards). Give a longest "
            "palindrome that is possible; if there are several, any of them is accepted."
        )
        return question, {"text": text}

    def solve(self, private: Private) -> str:
        """best[j]: a longest one within text[i : j + 1], for falling i."""
        text = private["text"]
        best = [""] * len(text)
        for i in range(len(text) - 1, -1, -1):
            inner, best[i] = "", text[i]  # inner: the value for (i + 1, j - 1)
            for j in range(i + 1, len(text)):
                below = best[j]
                if text[i] == text[j]:
                    best[j] = text[i] + inner + text[i]
                elif len(best[j - 1]) > len(below):
                    best[j] = best[j - 1]
                inner = below
        return best[-1]

    def judge(self, private: Private, answer: str) -> bool:
        said, text = letters(answer).lower(), private["text"]
        if said != said[::-1] or not is_subsequence(said, text):
            return False
        return len(said) == common_length(text, text[::-1])

    def size(self, private: Private) -> float:
        return len(private["text"])


def common_length(a: str, b: str) -> int:
    """Length of the longest common subsequence. A palindrome's is that of a word and itself
    backwards."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


class CommonSupersequence(Generator):
    """A shortest word that holds two words as subsequences."""

    name, family = "common_supersequence", "strings"
    form = "the word"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, 4 + difficulty // 6)
        a, b = (drawn(rng, 6 + difficulty + rng.randint(0, 2), alphabet) for _ in range(2))
        question = (
            f"Find a shortest word from which {a} can be made by taking letters out, and {b} as "
            "well (the letters that stay keep their order). If there are several shortest words, "
            "any of them is accepted."
        )
        return question, {"a": a, "b": b}

    def solve(self, private: Private) -> str:
        """The shortest for every pair of beginnings, then back along the choices."""
        a, b = private["a"], private["b"]
        table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i, x in enumerate(a, 1):
            for j, y in enumerate(b, 1):
                longer = 1 + min(table[i - 1][j], table[i][j - 1])
                table[i][j] = 1 + table[i - 1][j - 1] if x == y else longer
        word, i, j = [], len(a), len(b)
        while i or j:
            if i and j and a[i - 1] == b[j - 1]:
                i, j = i - 1, j - 1
                word.append(a[i])
            elif j == 0 or (i and table[i - 1][j] <= table[i][j - 1]):
                i -= 1
                word.append(a[i])
            else:
                j -= 1
                word.append(b[j])
        return "".join(reversed(word))

    def judge(self, private: Private, answer: str) -> bool:
        said, a, b = letters(answer).lower(), private["a"], private["b"]
        if len(said) != len(a) + len(b) - common_length(a, b):
            return False
        return is_subsequence(a, said) and is_subsequence(b, said)

    def size(self, private: Private) -> float:
        return len(private["a"]) + len(private["b"])


class EditScript(Generator):
    """The fewest insertions, deletions and replacements, written out; any fewest are right."""

    name, family = "edit_script", "strings"
    form = "the edits, one a line,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = some(rng, 4 + difficulty // 6)
        source = drawn(rng, 7 + difficulty, alphabet)
        target = list(source)
        for _ in range(4 + difficulty // 2):
            place, kind = rng.randrange(len(target)), rng.randrange(3)
            if kind == 0:
                target.insert(place, rng.choice(alphabet))
            elif kind == 1 and len(target) > 3:
                del target[place]
            else:
                target[place] = rng.choice(alphabet)
        goal = "".join(target)
        if self._distance(source, goal) < 2:
            return self.make(rng, difficulty)
        question = (
            f"Turn the word {source} into {goal} with as few edits as possible. Write one edit a "
            "line:\ninsert P L (the letter L is put in so that it is then letter number P)\n"
            "delete P (letter number P is taken out)\n"
            "replace P L (letter number P becomes L)\n"
            "Letters are numbered from 1 in the word as it is when the edit is made, after all "
            "edits above it. Any list of fewest edits is accepted."
        )
        return question, {"source": source, "goal": goal}

    @staticmethod
    def _distance(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            diagonal, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
        return row[-1]

    def solve(self, private: Private) -> str:
        """Back through the table from the end, so that numbers before an edit stay true."""
        a, b = private["source"], private["goal"]
        table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i, x in enumerate(a, 1):
            for j, y in enumerate(b, 1):
                near = min(table[i - 1][j], table[i][j - 1]) + 1
                table[i][j] = min(near, table[i - 1][j - 1] + (x != y))
        lines, i, j = [], len(a), len(b)
        while i or j:
            if i and j and table[i][j] == table[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
                if a[i - 1] != b[j - 1]:
                    lines.append(f"replace {i} {b[j - 1]}")
                i, j = i - 1, j - 1
            elif i and table[i][j] == table[i - 1][j] + 1:
                lines.append(f"delete {i}")
                i -= 1
            else:
                lines.append(f"insert {i + 1} {b[j - 1]}")
                j -= 1
        return "\n".join(lines)

    def judge(self, private: Private, answer: str) -> bool:
        word = list(private["source"])
        lines = [line.strip().lower() for line in answer.strip().splitlines() if line.strip()]
        edits = []
        for line in lines:
            match = re.fullmatch(
                r"(insert|replace) +([0-9]{1,9}) +([a-z])|delete +([0-9]{1,9})", line
            )
            if match is None:
                raise Unparseable("lines such as insert 3 x, delete 2, replace 4 y were asked for")
            edits.append(match.groups())
        if len(edits) != self._distance(private["source"], private["goal"]):
            return False
        for kind, place, letter, deleted in edits:
            at = int(place or deleted) - 1
            if not 0 <= at < len(word) + (kind == "insert"):
                return False
            word[at : at + (kind != "insert")] = [letter] if letter else []
        return "".join(word) == private["goal"]

    def size(self, private: Private) -> float:
        return len(private["source"])


GENERATORS: tuple[type[Generator], ...] = (
    PalindromicSubsequence,
    CommonSupersequence,
    EditScript,
)
