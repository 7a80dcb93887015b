"""Rows of brackets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.generators.strings import is_subsequence

Private = Mapping[str, Any]


CLOSES = {"(": ")", "[": "]", "{": "}", "<": ">"}


class BracketRepair(Generator):
    """The fewest brackets taken out so that the rest is balanced."""

    name, family = "bracket_repair", "strings"
    form = "the balanced brackets that remain, without spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        kinds = rng.sample([opened + closed for opened, closed in CLOSES.items()], 3)
        while True:
            text = self._nested(rng, 4 + difficulty // 3, kinds)
            for _ in range(3 + difficulty // 4):
                place, noise = rng.randrange(len(text) + 1), rng.choice("".join(kinds))
                text = text[:place] + noise + text[place:]
            most = self._most(text)
            if 4 <= most < len(text):
                break
        question = (
            "In a balanced row of brackets, every bracket is closed by one of its own kind, and "
            f"pairs do not cross: {kinds[0][0]}{kinds[1]}{kinds[0][1]} is balanced, "
            f"{kinds[0][0]}{kinds[1][0]}{kinds[0][1]}{kinds[1][1]} is not. Take as few brackets as "
            f"possible out of\n{text}\nso that a balanced row remains. If several rows are "
            "possible, any of them is accepted."
        )
        return question, {"text": text, "most": most}

    def _nested(self, rng: random.Random, count: int, kinds: list[str]) -> str:
        text = ""
        for _ in range(count):
            place, pair = rng.randrange(len(text) + 1), rng.choice(kinds)
            # Around what stands here, at most up to the bracket that closes an outer pair.
            depth, end = 0, place
            while end < len(text):
                depth += 1 if text[end] in CLOSES else -1
                if depth < 0:
                    break
                end += 1
                if depth == 0 and rng.random() < 0.5:
                    break
            text = text[:place] + pair[0] + text[place:end] + pair[1] + text[end:]
        return text

    def _table(self, text: str) -> list[list[int]]:
        """table[i][j]: the most brackets that can stay of text[i:j]."""
        n = len(text)
        table = [[0] * (n + 1) for _ in range(n + 1)]
        for i in range(n - 1, -1, -1):
            partner, below = CLOSES.get(text[i]), table[i + 1]
            partners = [k for k in range(i + 1, n) if text[k] == partner]
            row = table[i]
            for j in range(i + 1, n + 1):
                best = below[j]
                for k in partners:
                    if k >= j:
                        break
                    kept = below[k] + 2 + table[k + 1][j]
                    if kept > best:
                        best = kept
                row[j] = best
        return table

    def _most(self, text: str) -> int:
        return self._table(text)[0][-1]

    def solve(self, private: Private) -> str:
        text, table = private["text"], self._table(private["text"])
        kept, spans = [], [(0, len(text))]
        while spans:
            i, j = spans.pop()
            if i >= j:
                continue
            if table[i][j] == table[i + 1][j]:
                spans.append((i + 1, j))
                continue
            k = next(
                k
                for k in range(i + 1, j)
                if text[k] == CLOSES.get(text[i])
                and table[i + 1][k] + 2 + table[k + 1][j] == table[i][j]
            )
            kept += [i, k]
            spans += [(i + 1, k), (k + 1, j)]
        return "".join(text[i] for i in sorted(kept))

    def judge(self, private: Private, answer: str) -> bool:
        """Balanced, left of the row, and as long as any that is (the number comes from `make`)."""
        said = "".join(answer.split())
        if not said or not set(said) <= {*CLOSES, *CLOSES.values()}:
            raise Unparseable("a row of brackets was asked for")
        open_now: list[str] = []
        for bracket in said:
            if bracket in CLOSES:
                open_now.append(CLOSES[bracket])
            elif not open_now or open_now.pop() != bracket:
                return False
        return (
            not open_now and len(said) == private["most"] and is_subsequence(said, private["text"])
        )

    def size(self, private: Private) -> float:
        return len(private["text"])


GENERATORS: tuple[type[Generator], ...] = (BracketRepair,)
