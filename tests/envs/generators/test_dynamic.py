"""Dynamic programming: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

import random
from itertools import combinations, combinations_with_replacement, pairwise, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import dynamic, dynamic_grids, dynamic_trees
from openzaya.envs.generators.text import spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def subsets(items, least=1):
    items = list(items)
    return (c for r in range(least, len(items) + 1) for c in combinations(items, r))


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 2))
def test_knapsack_choice(seed, difficulty, enumerated, drawn):
    env = dynamic.KnapsackChoice()
    p = drawn(env, seed, difficulty)

    def cost(chosen):
        items = [p["items"][i - 1] for i in chosen]
        return -sum(v for _, v in items) if sum(w for w, _ in items) <= p["limit"] else None

    table = ((spaced(s), cost(s)) for s in subsets(range(1, len(p["items"]) + 1)))
    enumerated(env, p, table)


@FEW
@given(row=st.lists(st.integers(1, 30), min_size=3, max_size=7, unique=True))
def test_longest_increasing_subsequence(row, enumerated):
    env = dynamic.LongestIncreasing()

    def table():
        for kept in permutations(row) if len(row) < 6 else subsets(row):
            in_order = list(kept) == [x for x in row if x in kept]
            grows = list(kept) == sorted(kept)
            yield spaced(kept), -len(kept) if in_order and grows else None
        for kept in subsets(row):
            yield spaced(kept), -len(kept) if list(kept) == sorted(kept) else None
        yield spaced([*row, 31, 32]), None

    enumerated(env, {"row": row}, table())


@FEW
@given(coins=st.sets(st.integers(2, 9), min_size=1, max_size=3), amount=st.integers(2, 12))
def test_fewest_coins(coins, amount, enumerated):
    env = dynamic.FewestCoins()
    coins = sorted({1, *coins})

    def table():
        for count in range(1, amount + 1):
            for used in combinations_with_replacement(coins, count):
                yield spaced(used), count if sum(used) == amount else None
        yield str(amount + 1000), None
        yield f"{amount + 1} -1", None

    enumerated(env, {"coins": coins, "amount": amount}, table())


@FEW
@given(seed=SEEDS)
def test_weighted_intervals(seed, enumerated, drawn):
    env = dynamic.WeightedIntervals()
    p = drawn(env, seed, 0)

    def cost(chosen):
        jobs = [p["jobs"][i - 1] for i in chosen]
        clash = any(max(a[0], b[0]) < min(a[1], b[1]) for a, b in combinations(jobs, 2))
        return None if clash else -sum(pay for _, _, pay in jobs)

    table = ((spaced(s), cost(s)) for s in subsets(range(1, len(p["jobs"]) + 1)))
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, -2))
def test_contiguous_partition(seed, difficulty, enumerated, drawn):
    env = dynamic.ContiguousPartition()
    p = drawn(env, seed, difficulty)
    n = len(p["pages"])

    def cost(counts):
        if sum(counts) != n or 0 in counts:
            return None
        ends = [sum(counts[:i]) for i in range(len(counts) + 1)]
        return max(sum(p["pages"][a:b]) for a, b in pairwise(ends))

    spaces = product(range(n), repeat=p["k"])
    enumerated(env, p, ((spaced(c), cost(c)) for c in spaces))


def bracketings(i, j):
    """(text, cost as a function of the sizes) of all ways to bracket the matrices i..j."""
    if i == j:
        yield f"A{i}", lambda s: 0
    for k in range(i, j):
        for (a, left), (b, right) in product(bracketings(i, k), bracketings(k + 1, j)):

            def cost(s, k=k, left=left, right=right):
                return left(s) + right(s) + s[i - 1] * s[k] * s[j]

            yield f"({a} {b})", cost


@FEW
@given(seed=SEEDS, difficulty=st.integers(-8, -3))
def test_matrix_chain(seed, difficulty, enumerated, drawn):
    env = dynamic_trees.MatrixChain()
    p = drawn(env, seed, difficulty)
    n = len(p["sizes"]) - 1
    table = {text: cost(p["sizes"]) for text, cost in bracketings(1, n)}
    for text in list(table):
        table[f"({text})"] = table[text[1:-1]] = table[text + ")"] = None
        table[text.replace("A2", "A1")] = table[text.replace("A1 ", "A2 ")] = None
    enumerated(env, p, table.items())


@pytest.mark.parametrize("text", [")" * 50_000, "(" * 50_000, "(A1 A2", "A1 A2", "((A1) A2)", "()"])
def test_broken_brackets_are_scores(text, drawn):
    env = dynamic_trees.MatrixChain()
    assert env.score(env.generate(1, 0), text).reward == 0.0


@FEW
@given(seed=SEEDS, difficulty=st.integers(-8, -4))
def test_optimal_search_tree(seed, difficulty, enumerated, drawn):
    env = dynamic_trees.OptimalSearchTree()
    p = drawn(env, seed, difficulty)

    def cost(keys):
        """The tree that inserting in this order makes: its preorder must be the order itself."""
        root: dict = {}
        total = 0
        for key in keys:
            node, depth = root, 1
            while node:
                node, depth = node["left" if key < node["key"] else "right"], depth + 1
            node |= {"key": key, "left": {}, "right": {}}
            total += p["weights"][key - 1] * depth

        def preorder(node):
            return [node["key"], *preorder(node["left"]), *preorder(node["right"])] if node else []

        return total if preorder(root) == list(keys) else None

    table = {spaced(o): cost(o) for o in permutations(range(1, len(p["weights"]) + 1))}
    enumerated(env, p, (table | {"1 2": None}).items())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(0, 30))
def test_two_search_tree_optima_agree(seed, difficulty, drawn):
    env = dynamic_trees.OptimalSearchTree()
    p = drawn(env, seed, difficulty)
    assert env.judge(p, env.solve(p))


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, 0))
def test_maximum_rectangle(seed, difficulty, enumerated, drawn):
    env = dynamic_grids.MaximumRectangle()
    p = drawn(env, seed, difficulty)
    height, width = len(p["grid"]), len(p["grid"][0])

    def table():
        for t, left, b, r in product(range(height + 1), range(width + 1), repeat=2):
            cells = [x for row in p["grid"][max(0, t - 1) : b] for x in row[max(0, left - 1) : r]]
            legal = 1 <= t <= b and 1 <= left <= r
            yield spaced((sum(cells), t, left, b, r)), -sum(cells) if legal else None
            yield spaced((sum(cells) + 1, t, left, b, r)), None

    enumerated(env, p, table())


@FEW
@given(seed=SEEDS)
def test_richest_descent(seed, enumerated, drawn):
    env = dynamic_grids.RichestDescent()
    p = drawn(env, seed, -2)
    width = len(p["grid"][0])

    def cost(way):
        inside = all(1 <= c <= width for c in way)
        if not inside or any(abs(a - b) > 1 for a, b in pairwise(way)):
            return None
        return -sum(row[c - 1] for row, c in zip(p["grid"], way, strict=True))

    ways = product(range(width + 2), repeat=len(p["grid"]))
    enumerated(env, p, ((spaced(w), cost(w)) for w in ways))


@FEW
@given(seed=SEEDS)
def test_prefix_code(seed, enumerated, drawn):
    env = dynamic_trees.PrefixCode()
    p = drawn(env, seed, -3)
    words = ["".join(w) for r in (1, 2, 3) for w in product("01", repeat=r)]

    def cost(code):
        if any(a.startswith(b) for a, b in permutations(code, 2)):
            return None
        return sum(len(w) * n for w, n in zip(code, p["counts"].values(), strict=True))

    def table():
        for code in product(words, repeat=3):
            yield ", ".join(f"{s}={w}" for s, w in zip(p["counts"], code, strict=True)), cost(code)
        yield "a=0, b=1", None
        yield "a=0, b=10, b=11", None

    assert enumerated(env, p, table()) >= 4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(0, 30))
def test_two_code_lengths_agree(seed, difficulty, drawn):
    env = dynamic_trees.PrefixCode()
    p = drawn(env, seed, difficulty)
    right = env.solve(p)
    assert env.judge(p, right)
    shuffled = right.split(", ")
    random.Random(seed).shuffle(shuffled)
    assert env.judge(p, " ".join(shuffled))
    first, *rest = right.split(", ")
    assert not env.judge(p, ", ".join([first + "0", *rest]))  # a longer word: still a code
