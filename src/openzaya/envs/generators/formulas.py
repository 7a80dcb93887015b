"""Boolean formulas: shorter ones of equal meaning."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.generators.text import listed

Tree = str | tuple[Any, ...]
"""A variable, ("~", tree), or (operator, tree, tree)."""

_RANK = {"|": 1, "^": 2, "&": 3, "~": 4}


def operators(tree: Tree) -> int:
    return 0 if isinstance(tree, str) else 1 + sum(operators(t) for t in tree[1:])


def written(tree: Tree, above: int = 0) -> str:
    """With no more brackets than the precedence ~ & ^ | needs, and those between unlike binary
    operators, which readers like."""
    if isinstance(tree, str):
        return tree
    if tree[0] == "~":
        return "~" + written(tree[1], _RANK["~"])
    inner = f" {tree[0]} ".join(written(t, _RANK[tree[0]]) for t in tree[1:])
    return f"({inner})" if above not in (0, _RANK[tree[0]]) else inner


def table(text: str, names: list[str]) -> int:
    """The truth table as bits, by a stack machine: no depth of brackets can hurt it.

    Unparseable where `text` is no formula in `names`.
    """
    rows = 1 << len(names)
    full = (1 << rows) - 1
    value = {n: where_true(i, rows) for i, n in enumerate(names)}
    tokens = re.findall(r"\S", text)
    values: list[int] = []
    waiting: list[str] = []

    def apply() -> None:
        operator = waiting.pop()
        b = values.pop()
        if operator == "~":
            values.append(full ^ b)
        else:
            a = values.pop()
            values.append(a & b if operator == "&" else a | b if operator == "|" else a ^ b)

    operand = True  # whether one is due
    for t in tokens:
        if operand and t in value:
            values.append(value[t])
            operand = False
        elif operand and t in ("~", "("):
            waiting.append(t)
        elif not operand and t in ("&", "|", "^"):
            while waiting and waiting[-1] != "(" and _RANK[waiting[-1]] >= _RANK[t]:
                apply()
            waiting.append(t)
            operand = True
        elif not operand and t == ")":
            while waiting and waiting[-1] != "(":
                apply()
            if not waiting:
                raise Unparseable("a bracket was never opened")
            waiting.pop()
        else:
            raise Unparseable("a formula was asked for")
    if operand or "(" in waiting:
        raise Unparseable("a whole formula was asked for")
    while waiting:
        apply()
    return values[0]


def where_true(variable: int, rows: int) -> int:
    """Bit r is bit `variable` of r, for all r below `rows`."""
    block = 1 << variable
    bits, width = ((1 << block) - 1) << block, 2 * block
    while width < rows:
        bits, width = bits | bits << width, 2 * width
    return bits


class BooleanSimplification(Generator):
    """Any formula of equal meaning with few enough operators."""

    name = "boolean_simplification"
    family = "logic"
    form = "the shorter formula"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = min(3 + (difficulty + 2) // 4, 12)  # 4096 rows; beyond, only the formulas grow
        names = [chr(97 + i) for i in range(n)]
        small = self._grown(rng, names, 4 + difficulty)
        while not self._lively(small, names):
            small = self._grown(rng, names, 4 + difficulty)
        large = small
        while operators(large) < 2 * operators(small) + 4:
            large = self._rewritten(rng, names, large)
        k = operators(small)
        question = (
            "In this formula, ~ means not, & means and, | means or, ^ means exclusive or. "
            "~ binds most tightly, then &, then ^, then |.\n"
            f"{written(large)}\nFind a formula in the variables {listed(names)} that is true for "
            f"exactly the same values of the variables and has at most {k} operators, every ~, &, "
            "^ and | counted. Brackets are free. Any such formula will do."
        )
        return question, {"names": names, "large": written(large), "small": written(small), "k": k}

    def _grown(self, rng: random.Random, names: list[str], count: int) -> Tree:
        if count <= 0:
            return rng.choice(names)
        if count > 1 and rng.random() < 0.15:
            return ("~", self._grown(rng, names, count - 1))
        left = rng.randint(0, count - 1)
        parts = (self._grown(rng, names, left), self._grown(rng, names, count - 1 - left))
        return (rng.choice("&|&|^"), *parts)

    def _lively(self, tree: Tree, names: list[str]) -> bool:
        """Whether at least three variables matter (fewer where the formula is tiny)."""
        bits, rows = table(written(tree), names), 1 << len(names)
        matter = 0
        for i in range(len(names)):
            on = where_true(i, rows)
            matter += (bits & on) >> (1 << i) != bits & ~on
        return matter >= min(3, operators(tree))

    def _rewritten(self, rng: random.Random, names: list[str], tree: Tree) -> Tree:
        """`tree` with one small part replaced by a longer one of equal meaning."""
        if not isinstance(tree, str) and (operators(tree) > 3 or rng.random() < 0.5):
            at = rng.randrange(1, len(tree))
            part = self._rewritten(rng, names, tree[at])
            return (*tree[:at], part, *tree[at + 1 :])
        y = rng.choice(names)
        if not isinstance(tree, str) and tree[0] != "~" and rng.random() < 0.6:
            a, b = tree[1:]
            if tree[0] == "^":
                return ("|", ("&", a, ("~", b)), ("&", ("~", a), b))
            other = "&" if tree[0] == "|" else "|"
            return ("~", (other, ("~", a), ("~", b)))
        if rng.random() < 0.4:
            return ("|", ("&", tree, y), ("&", ("~", y), tree))
        inner, outer = rng.choice((("&", "|"), ("|", "&")))
        return (outer, tree, (inner, y, tree))

    def solve(self, private: Mapping[str, Any]) -> str:
        return private["small"]

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        names, large = private["names"], private["large"]
        if sum(c in _RANK for c in answer) > private["k"]:
            return False
        return table(answer, names) == table(large, names)

    def size(self, private: Mapping[str, Any]) -> float:
        return private["k"]


GENERATORS: tuple[type[Generator], ...] = (BooleanSimplification,)
