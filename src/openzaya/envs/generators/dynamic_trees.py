"""Trees of least cost: bracketings, search trees, codes."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, picks
from openzaya.envs.generators.text import listed, spaced


class MatrixChain(Generator):
    """Any cheapest bracketing of a matrix product."""

    name = "matrix_chain"
    family = "dynamic"
    form = 'the fully bracketed product, like "((A1 A2) A3)",'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + difficulty // 2
        sizes = [rng.randint(2, 30) for _ in range(n + 1)]
        shapes = listed(f"A{i + 1} is {sizes[i]} x {sizes[i + 1]}" for i in range(n))
        question = (
            f"The product of these {n} matrices, in this order, is to be computed: {shapes}. "
            "Multiplying a p x q matrix by a q x r matrix costs p*q*r steps.\nPut brackets so that "
            "every pair of brackets holds exactly two factors, each a matrix or a bracketed "
            "product, and the total cost is as small as possible. If several ways are equally "
            "good, any of them will do."
        )
        return question, {"sizes": sizes}

    def solve(self, private: Mapping[str, Any]) -> str:
        s = private["sizes"]
        n = len(s) - 1
        cost, split = {(i, i): 0 for i in range(n)}, {}
        for length in range(2, n + 1):
            for i in range(n - length + 1):
                j = i + length - 1
                cost[i, j], split[i, j] = min(
                    (cost[i, k] + cost[k + 1, j] + s[i] * s[k + 1] * s[j + 1], k)
                    for k in range(i, j)
                )

        def written(i: int, j: int) -> str:
            if i == j:
                return f"A{i + 1}"
            return f"({written(i, split[i, j])} {written(split[i, j] + 1, j)})"

        return written(0, n - 1)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        s = private["sizes"]
        n = len(s) - 1
        text = re.sub(r"[\s*]+", "", answer)
        parts = re.findall(r"[()]|A[0-9]{1,6}", text)
        if "".join(parts) != text or len(parts) != 3 * n - 2:
            raise Unparseable("a fully bracketed product was asked for")
        stack: list[Any] = []
        total = 0
        for part in parts:
            if part == ")":
                if len(stack) < 3 or "(" in stack[-2:] or stack[-3] != "(":
                    raise Unparseable("every pair of brackets must hold two factors")
                (i, k), (k2, j) = stack[-2:]
                if k2 != k:
                    return False
                total += s[i] * s[k] * s[j]
                stack[-3:] = [(i, j)]
            elif part == "(":
                stack.append(part)
            else:
                i = int(part[1:])
                if not 1 <= i <= n:
                    return False
                stack.append((i - 1, i))
        # The product as a polygon cut into triangles: an edge, and the corner of its triangle.
        best = [[0] * (n + 1) for _ in range(n + 1)]
        for i in range(n - 1, -1, -1):
            for j in range(i + 2, n + 1):
                corner = min(best[i][k] + best[k][j] + s[i] * s[k] * s[j] for k in range(i + 1, j))
                best[i][j] = corner
        return stack == [(0, n)] and total == best[0][n]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["sizes"])


class OptimalSearchTree(Generator):
    """Any search tree with the least expected depth, as a preorder."""

    name = "optimal_search_tree"
    family = "dynamic"
    form = (
        "the keys in preorder (root, then the whole left subtree, then the whole right subtree), "
        "separated by spaces,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + difficulty // 2
        weights = [rng.randint(1, 40) for _ in range(n)]
        asked = listed(f"{key} ({w})" for key, w in enumerate(weights, 1))
        question = (
            f"A binary search tree shall hold the keys 1 to {n}: for every node, smaller keys are "
            "in its left subtree and larger keys in its right subtree. The keys will be looked up "
            f"this often, listed as key (times): {asked}. Looking up a key costs as many steps as "
            "there are nodes on the way from the root to the key, both counted.\nFind a "
            "tree in which all these look-ups together cost as few steps as possible. "
            "If several trees are equally good, any of them will do."
        )
        return question, {"weights": weights}

    def solve(self, private: Mapping[str, Any]) -> str:
        weights = private["weights"]

        @cache
        def best(low: int, high: int) -> tuple[int, tuple[int, ...]]:
            """(cost, preorder) of the keys low..high."""
            if low > high:
                return 0, ()
            total = sum(weights[low - 1 : high])
            tries = []
            for root in range(low, high + 1):
                (a, left), (b, right) = best(low, root - 1), best(root + 1, high)
                tries.append((a + b + total, (root, *left, *right)))
            return min(tries)

        return spaced(best(1, len(weights))[1])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        weights = private["weights"]
        n, preorder = len(weights), picks(answer, len(weights))
        if len(preorder) != n:
            return False
        cost, open_ranges = 0, [(1, n, 1)]
        for key in preorder:
            low, high, depth = open_ranges.pop()
            if not low <= key <= high:
                return False
            cost += weights[key - 1] * depth
            right, left = (key + 1, high, depth + 1), (low, key - 1, depth + 1)
            open_ranges += [r for r in (right, left) if r[0] <= r[1]]
        return cost == self._least(weights)

    def _least(self, weights: list[int]) -> int:
        """Knuth: the best root moves right with either end."""
        n, total = len(weights), [0]
        for w in weights:
            total.append(total[-1] + w)
        cost = [[0] * (n + 1) for _ in range(n + 1)]  # of keys i+1..j
        root = [[0] * (n + 1) for _ in range(n + 1)]
        for length in range(1, n + 1):
            for i in range(n - length + 1):
                j = i + length
                low, high = (root[i][j - 1], root[i + 1][j]) if length > 1 else (i, i)
                least, at = min((cost[i][r] + cost[r + 1][j], r) for r in range(low, high + 1))
                cost[i][j], root[i][j] = least + total[j] - total[i], at
        return cost[0][n]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["weights"])


class PrefixCode(Generator):
    """Any optimal prefix code. Solver: Huffman trees. Judge: two queues of weights."""

    name = "prefix_code"
    family = "dynamic"
    form = 'the code as a list like "a=10, b=0"'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        names = [chr(97 + i) if n <= 26 else f"s{i + 1}" for i in range(n)]
        counts = {name: rng.randint(1, 60) for name in names}
        text = listed(f"{name} ({count})" for name, count in counts.items())
        question = (
            f"A message consists of these symbols, listed as symbol (times): {text}.\nGive every "
            "symbol a code word of one or more digits 0 and 1 such that no code word is the "
            "beginning of another one and the whole coded message has as few digits as "
            "possible. If several codes are equally good, any of them will do."
        )
        return question, {"counts": counts}

    def solve(self, private: Mapping[str, Any]) -> str:
        forest = [(count, [name]) for name, count in private["counts"].items()]
        code = dict.fromkeys(private["counts"], "")
        while len(forest) > 1:
            forest.sort()
            (a, left), (b, right) = forest[:2]
            code |= {name: "0" + code[name] for name in left}
            code |= {name: "1" + code[name] for name in right}
            forest[:2] = [(a + b, left + right)]
        return listed(f"{name}={bits}" for name, bits in code.items())

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        counts = private["counts"]
        plain = re.sub(r" ?[=:] ?", "=", " ".join(answer.split())).strip(",; ")
        entries = re.split(r"[,; ]+", plain)
        if len(entries) != len(counts) or not all(
            re.fullmatch(r"[a-z][0-9]{0,6}=[01]+", entry) for entry in entries
        ):
            raise Unparseable("a code word for every symbol was asked for")
        code = dict(entry.split("=") for entry in entries)
        if code.keys() != counts.keys():
            return False
        words = sorted(code.values())
        if any(longer.startswith(word) for word, longer in pairwise(words)):
            return False
        return sum(len(code[name]) * count for name, count in counts.items()) == self._least(counts)

    def _least(self, counts: Mapping[str, int]) -> int:
        single, merged, total = sorted(counts.values(), reverse=True), [], 0
        merged_at = 0
        while len(single) + len(merged) - merged_at > 1:
            two = 0
            for _ in range(2):
                if merged_at == len(merged) or (single and single[-1] <= merged[merged_at]):
                    two += single.pop()
                else:
                    two += merged[merged_at]
                    merged_at += 1
            merged.append(two)
            total += two
        return total

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["counts"])


GENERATORS: tuple[type[Generator], ...] = (MatrixChain, OptimalSearchTree, PrefixCode)
