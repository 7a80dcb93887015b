"""Grids: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

import random
import re
from itertools import chain, combinations, permutations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import grid_puzzles, grids, mazes, placements
from openzaya.envs.generators.text import grid_text, listed, spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


def touching(a, b):
    return a != b and max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1


def joined(a, b):
    return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1


def cells(height, width):
    return list(product(range(height), range(width)))


def cell_list(chosen):
    return listed(f"{i + 1}-{j + 1}" for i, j in sorted(chosen))


def fillings(height, width, symbols):
    for flat in product(symbols, repeat=height * width):
        yield [flat[i * width : (i + 1) * width] for i in range(height)]


def latin(grid):
    lines = [*grid, *zip(*grid, strict=True)]
    return all(sorted(line) == list(range(1, len(grid) + 1)) for line in lines)


@FEW
@given(seed=SEEDS)
def test_latin_completion(seed, enumerated, drawn):
    env = grids.LatinCompletion()
    p = drawn(env, seed, -3)
    given_cells = [(i, j, x) for i, row in enumerate(p["grid"]) for j, x in enumerate(row) if x]

    def table():
        for values in product((1, 2, 3), repeat=sum(row.count(0) for row in p["grid"])):
            rest = iter(values)
            grid = [[x or next(rest) for x in row] for row in p["grid"]]
            yield grid_text(grid), 0 if latin(grid) else None
        for a in permutations((1, 2, 3)):  # other squares, whatever was given
            grid = [a, (*a[1:], a[0]), (*a[2:], *a[:2])]
            kept = all(grid[i][j] == x for i, j, x in given_cells)
            yield grid_text(grid), 0 if kept else None

    enumerated(env, p, table())


@FEW
@given(seed=SEEDS)
def test_skyscrapers(seed, enumerated, drawn):
    env = grids.Skyscrapers()
    p = drawn(env, seed, -2)

    def seen(line):
        return len({max(line[: i + 1]) for i in range(len(line))})

    def fits(grid):
        columns = list(zip(*grid, strict=True))
        clues = [
            [seen(line[::way]) for line in lines] for lines in (grid, columns) for way in (1, -1)
        ]
        return clues == p["clues"] and all(grid[i][j] == x for i, j, x in p["given"])

    lines = list(permutations((1, 2, 3)))
    table = {
        grid_text(grid): 0 if latin(grid) and fits(grid) else None
        for grid in product([*lines, (1, 1, 2)], repeat=3)
    }
    enumerated(env, p, table.items())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_larger_skyscrapers_are_held_to_their_clues(seed, drawn):
    env = grids.Skyscrapers()
    p = drawn(env, seed, 4)
    grid = [list(row) for row in p["planted"]]
    assert env.judge(p, grid_text(grid))
    swapped = [[{1: 6, 6: 1}.get(x, x) for x in row] for row in grid]  # still a Latin square
    assert not env.judge(p, grid_text(swapped))


@FEW
@given(seed=SEEDS)
def test_nonogram(seed, enumerated, drawn):
    env = grids.Nonogram()
    p = drawn(env, seed, -4)

    def runs(line):
        return [len(run) for run in re.findall("#+", "".join(line))]

    def fits(grid):
        columns = zip(*grid, strict=True)
        return [*map(runs, grid)] == p["across"] and [*map(runs, columns)] == p["down"]

    table = ((grid_text(g, ""), 0 if fits(g) else None) for g in fillings(3, 3, "#."))
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS)
def test_minesweeper_board(seed, enumerated, drawn):
    env = placements.MinesweeperBoard()
    p = drawn(env, seed, -2)
    board = cells(p["height"], p["width"])

    def fits(mines):
        return len(mines) == p["mines"] and all(
            (i, j) not in mines and sum(touching((i, j), m) for m in mines) == x
            for i, j, x in p["numbers"]
        )

    table = (
        (cell_list(mines), 0 if fits(mines) else None)
        for count in range(1, 5)
        for mines in combinations(board, count)
    )
    enumerated(env, p, table)


@FEW
@given(seed=SEEDS, difficulty=st.integers(-6, -2))
def test_star_battle(seed, difficulty, enumerated, drawn):
    env = placements.StarBattle()
    p = drawn(env, seed, difficulty)
    n = len(p["region"])

    def fits(columns):
        stars = list(enumerate(columns))
        apart = not any(touching((i, a), (j, b)) for (i, a), (j, b) in combinations(stars, 2))
        inside = all(1 <= c <= n for c in columns) and len({*columns}) == n
        return inside and apart and len({p["region"][i][c - 1] for i, c in stars}) == n

    choices = product(range(n + 2), repeat=n) if n < 5 else permutations(range(1, n + 1))
    enumerated(env, p, ((spaced(c), 0 if fits(c) else None) for c in choices))


@FEW
@given(seed=SEEDS)
def test_tents_and_trees(seed, enumerated, drawn):
    env = placements.TentsAndTrees()
    p = drawn(env, seed, -2)
    n, trees = p["n"], [tuple(tree) for tree in p["trees"]]

    def fits(tents):
        counts = [[sum(t[k] == line for t in tents) for line in range(n)] for k in (0, 1)]
        paired = any(
            all(joined(*pair) for pair in zip(order, trees, strict=True))
            for order in (permutations(tents) if len(tents) == len(trees) else ())
        )
        crowded = any(touching(a, b) for a, b in combinations(tents, 2)) or {*tents} & {*trees}
        return counts == [p["across"], p["down"]] and paired and not crowded

    table = (
        (cell_list(tents), 0 if fits(tents) else None)
        for count in range(1, len(trees) + 2)
        for tents in combinations(cells(n, n), count)
    )
    enumerated(env, p, table)


def test_two_tents_cannot_share_a_tree():
    """Every tent stands beside a tree and every tree beside a tent; only a pairing is missing."""
    env = placements.TentsAndTrees()
    counts = {"n": 5, "across": [1, 0, 1, 1, 0], "down": [0, 2, 0, 1, 0]}
    assert not env.judge(counts | {"trees": [[1, 1], [3, 4], [4, 3]]}, "1-2, 3-2, 4-4")
    assert env.judge(counts | {"trees": [[1, 1], [2, 0], [3, 4]]}, "1-2, 3-2, 4-4")


def maze_lengths(maze):
    """Moves from S to every (cell, keys), by relaxing all edges until nothing changes."""
    start = next((i, row.index("S")) for i, row in enumerate(maze) if "S" in row)
    best = {(start, ""): 0}
    while True:
        old = dict(best)
        for (spot, keys), length in old.items():
            for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                other = (spot[0] + di, spot[1] + dj)
                c = maze[other[0]][other[1]]
                if c == "#" or (c in "ABC" and c.lower() not in keys):
                    continue
                held = "".join(sorted({*keys, c})) if c.islower() else keys
                if best.get((other, held), 10**9) > length + 1:
                    best[other, held] = length + 1
        if best == old:
            return best


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.sampled_from([-1, 0, 1, 10, 20]))
def test_key_maze(seed, difficulty, enumerated, drawn):
    env = mazes.KeyMaze()
    p = drawn(env, seed, difficulty)
    maze = p["maze"]
    lengths = maze_lengths(maze)
    goals = [length for ((i, j), _), length in lengths.items() if maze[i][j] == "G"]
    shortest = min(goals)
    spot = {(i, j): maze[i][j] for i in range(len(maze)) for j in range(len(maze[0]))}
    start = next(at for at, c in spot.items() if c == "S")
    rng = random.Random(seed)

    def walks(word):
        """Whether the word leads from S to G by the rules."""
        at, held = start, {"S", "G", "."}
        for letter in word:
            step = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}[letter]
            at = (at[0] + step[0], at[1] + step[1])
            if spot[at] == "#" or (spot[at].isupper() and not {spot[at], spot[at].lower()} & held):
                return False
            held.add(spot[at])
        return spot[at] == "G"

    solution = env.solve(p)
    words = {solution, solution + solution[-1], "U", solution[::-1]}
    turn = {"U": "D", "D": "U", "L": "R", "R": "L"}
    for i in range(len(solution)):
        words |= {solution[:i], solution[:i] + turn[solution[i]] + solution[i:]}
        words.add(solution[: i + 1] + turn[solution[i]] + solution[i:])  # there, back, there
        words |= {solution[:i] + letter + solution[i + 1 :] for letter in "UDLR"}
        mixed = list(solution)
        rng.shuffle(mixed)
        words.add("".join(mixed))
    table = {w: len(w) if walks(w) else None for w in words if w}
    assert min(x for x in table.values() if x is not None) == shortest
    enumerated(env, p, table.items())


def test_no_door_of_a_large_maze_is_called_like_start_or_goal():
    env = mazes.KeyMaze()
    for difficulty in (60, 70):
        problem = env.generate(1, difficulty)
        text = "".join(problem.private["maze"])
        assert sorted(c for c in text if c not in "#.") == sorted("SGABCDEFabcdef")
        assert env.score(problem, env.oracle(problem).content).correct


@FEW
@given(seed=SEEDS)
def test_number_chain(seed, enumerated, drawn):
    env = grid_puzzles.NumberChain()
    p = drawn(env, seed, -3)
    height, width = len(p["grid"]), len(p["grid"][0])

    def fits(grid):
        place = {x: (i, j) for i, row in enumerate(grid) for j, x in enumerate(row)}
        kept = all(x in (0, y) for a, b in zip(p["grid"], grid, strict=True)
                   for x, y in zip(a, b, strict=True))  # fmt: skip
        return kept and all(joined(place[x], place[x + 1]) for x in range(1, len(place)))

    table = {}
    for flat in permutations(range(1, height * width + 1)):
        grid = [flat[i * width : (i + 1) * width] for i in range(height)]
        table[grid_text(grid)] = 0 if fits(grid) else None
    table[grid_text([[1] * width] * height)] = None
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_polyomino_packing(seed, enumerated, drawn):
    env = grid_puzzles.PolyominoPacking()
    p = drawn(env, seed, -3)

    def fits(grid):
        for piece, shape in enumerate(p["shapes"], 1):
            at = [c for c in cells(p["height"], p["width"]) if grid[c[0]][c[1]] == piece]
            shifts = {(i - c[0], j - c[1]) for i, j in shape for c in at}
            if not any(sorted((c[0] + di, c[1] + dj) for c in at) == [*map(tuple, shape)]
                       for di, dj in shifts):  # fmt: skip
                return False
        return all(1 <= x <= len(p["shapes"]) for row in grid for x in row)

    symbols = range(1, min(len(p["shapes"]) + 1, 4))
    table = {
        grid_text(g): 0 if fits(g) else None for g in fillings(p["height"], p["width"], symbols)
    }
    table[grid_text([[9] * p["width"]] * p["height"])] = None
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_rectangle_division(seed, enumerated, drawn):
    env = grid_puzzles.RectangleDivision()
    p = drawn(env, seed, -4)
    count = len(p["numbers"])
    assume(1 < count < 4)
    height, width = p["height"], p["width"]
    every = [
        (t, left, b, r)
        for (t, left), (b, r) in product(cells(height, width), repeat=2) if t <= b and left <= r
    ]  # fmt: skip
    inside = {
        part: {(i, j) for i, j in cells(height, width)
               if part[0] <= i <= part[2] and part[1] <= j <= part[3]}
        for part in every
    }  # fmt: skip

    def fits(parts):
        covered = sorted(c for part in parts for c in inside[part])
        return covered == cells(height, width) and all(
            [x for i, j, x in p["numbers"] if (i - 1, j - 1) in inside[part]] == [len(inside[part])]
            for part in parts
        )

    table = {
        "; ".join(spaced(x + 1 for x in part) for part in sorted(parts)): 0 if fits(parts) else None
        for parts in combinations(every, count)
    }
    assert enumerated(env, p, table.items()) >= 1
    text = env.solve(p)
    assert env.judge(p, "\n".join(reversed(text.split("; "))))
    assert not env.judge(p, f"{text}; 1 1 1 1")


@pytest.mark.parametrize(
    "text", ["1 2\n3", "٣ ٤\n" * 4, "#" * 99_999, "1-1, 1-1", "0-1", "\n" * 9999]
)
def test_broken_grids_are_scores(text):
    modules = (grids, placements, mazes, grid_puzzles)
    for generator in chain.from_iterable(m.GENERATORS for m in modules):
        assert generator().score(generator().generate(2, 1), text).reward == 0.0
