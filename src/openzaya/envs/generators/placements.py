"""What lies where in a grid: mines, stars, tents."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, pairs
from openzaya.envs.generators.text import grid_text, listed, spaced


def around(i: int, j: int, height: int, width: int) -> list[tuple[int, int]]:
    """The up to eight cells that touch a cell."""
    return [
        (y, x)
        for y in range(max(0, i - 1), min(height, i + 2))
        for x in range(max(0, j - 1), min(width, j + 2))
        if (y, x) != (i, j)
    ]


def cell_text(cells: Iterable[Sequence[int]]) -> str:
    """Cells (row, column from 0) as 1-based row-column pairs."""
    return listed(f"{i + 1}-{j + 1}" for i, j in sorted(map(tuple, cells)))


def cells_of(text: str, height: int, width: int) -> set[tuple[int, int]]:
    """The inverse of `cell_text`; every cell once and inside the grid."""
    found = [(i - 1, j - 1) for i, j in pairs(text)]
    if len(set(found)) < len(found) or any(
        not (0 <= i < height and 0 <= j < width) for i, j in found
    ):
        raise Unparseable("different cells of the grid were asked for")
    return set(found)


_CELLS = 'as a list of row-column pairs like "1-2, 3-1"'
_NUMBERED = "Rows are numbered from 1 at the top, columns from 1 at the left."


class MinesweeperBoard(Generator):
    """Any placement of mines that explains the numbers."""

    name = "minesweeper_board"
    family = "grids"
    form = f"the cells of all mines {_CELLS}"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 4 + difficulty // 2, 4 + (difficulty + 1) // 2
        cells = [(i, j) for i in range(height) for j in range(width)]
        mines = set(rng.sample(cells, max(1, len(cells) * rng.randint(16, 26) // 100)))
        clear = [cell for cell in cells if cell not in mines]
        shown = sorted(rng.sample(clear, len(clear) * rng.randint(50, 70) // 100))
        numbers = [[i, j, sum(c in mines for c in around(i, j, height, width))] for i, j in shown]
        board = [["?"] * width for _ in range(height)]
        for i, j, x in numbers:
            board[i][j] = str(x)
        question = (
            f"{len(mines)} mines lie under some of the cells marked ? of this board, at most one "
            f"under each:\n{grid_text(board)}\nEvery number says how many of the up to eight cells "
            "that touch it, also diagonally, hold a mine. Cells with numbers hold no mine. "
            f"{_NUMBERED}\nFind a placement of all mines that fits. Any such placement will do."
        )
        private = {"height": height, "width": width, "mines": len(mines), "numbers": numbers}
        return question, private | {"planted": sorted(map(list, mines))}

    def solve(self, private: Mapping[str, Any]) -> str:
        return cell_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        height, width = private["height"], private["width"]
        mines = cells_of(answer, height, width)
        return len(mines) == private["mines"] and all(
            (i, j) not in mines and len(mines.intersection(around(i, j, height, width))) == x
            for i, j, x in private["numbers"]
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["height"] * private["width"]


class StarBattle(Generator):
    """Any placement of stars, one in each row, column and region, none touching."""

    name = "star_battle"
    family = "grids"
    form = "the columns of the stars, for the rows from top to bottom,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + difficulty // 2
        stars = [0, 0]
        while any(abs(a - b) < 2 for a, b in pairwise(stars)):
            stars = rng.sample(range(n), n)
        region = [[0] * n for _ in range(n)]
        for i, j in enumerate(stars):
            region[i][j] = i + 1
        edge = list(enumerate(stars))
        while edge:  # regions grow from their stars until they meet
            i, j = edge[at := rng.randrange(len(edge))]
            free = [
                (y, x) for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
                if 0 <= y < n and 0 <= x < n and not region[y][x]
            ]  # fmt: skip
            if free:
                y, x = rng.choice(free)
                region[y][x] = region[i][j]
                edge.append((y, x))
            else:
                edge[at] = edge[-1]
                edge.pop()
        names = [0, *rng.sample(range(1, n + 1), n)]  # a region's number must not tell its row
        region = [[names[x] for x in row] for row in region]
        question = (
            f"This grid of {n} rows and {n} columns is divided into {n} regions; each cell shows "
            f"the number of its region:\n{grid_text(region)}\nPut {n} stars into cells so that "
            "each row, each column and each region holds exactly one star and no two stars touch, "
            "not even diagonally. Columns are numbered from 1 at the left. Any such placement "
            "will do."
        )
        return question, {"region": region, "planted": [j + 1 for j in stars]}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        region = private["region"]
        columns = integers(answer, len(region))
        if sorted(columns) != list(range(1, len(region) + 1)):
            return False
        if any(abs(a - b) < 2 for a, b in pairwise(columns)):
            return False
        return len({row[j - 1] for row, j in zip(region, columns, strict=True)}) == len(region)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["region"])


class TentsAndTrees(Generator):
    """Any placement of tents that can be paired with the trees."""

    name = "tents_and_trees"
    family = "grids"
    form = f"the cells of all tents {_CELLS}"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + difficulty // 2
        tents: set[tuple[int, int]] = set()
        trees: set[tuple[int, int]] = set()
        for at in rng.sample(range(n * n), n * n):
            i, j = divmod(at, n)
            beside = [
                (y, x) for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
                if 0 <= y < n and 0 <= x < n and (y, x) not in tents
                and (y, x) not in trees
            ]  # fmt: skip
            taken = (i, j) in trees or tents.intersection(around(i, j, n, n))
            if not taken and beside and len(tents) < max(1, n * n // 6):
                tents.add((i, j))
                trees.add(rng.choice(beside))
        private = {
            "n": n,
            "trees": sorted(map(list, trees)),
            "across": [sum(t[0] == i for t in tents) for i in range(n)],
            "down": [sum(t[1] == j for t in tents) for j in range(n)],
            "planted": sorted(map(list, tents)),
        }
        field = [["T" if (i, j) in trees else "." for j in range(n)] for i in range(n)]
        question = (
            f"In this camp, T is a tree and . is a free cell:\n{grid_text(field)}\n"
            f"Put {len(trees)} tents on free cells so that trees and tents can be paired one to "
            "one, with each tent directly above, below, left or right of its tree. No two tents "
            "may touch, not even diagonally. The rows from top to bottom hold this many tents: "
            f"{spaced(private['across'])}. The columns from left to right hold this many: "
            f"{spaced(private['down'])}. {_NUMBERED}\nAny such placement will do."
        )
        return question, private

    def solve(self, private: Mapping[str, Any]) -> str:
        return cell_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        n, trees = private["n"], {(i, j) for i, j in private["trees"]}
        tents = cells_of(answer, n, n)
        if len(tents) != len(trees) or tents & trees:
            return False
        if any(tents.intersection(around(i, j, n, n)) for i, j in tents):
            return False
        counts = [[sum(t[k] == line for t in tents) for line in range(n)] for k in (0, 1)]
        return counts == [private["across"], private["down"]] and self._paired(tents, trees)

    def _paired(self, tents: set[tuple[int, int]], trees: set[tuple[int, int]]) -> bool:
        owner: dict[tuple[int, int], tuple[int, int]] = {}

        def place(tent: tuple[int, int], tried: set[tuple[int, int]]) -> bool:
            i, j = tent
            for tree in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if tree in trees and tree not in tried:
                    tried.add(tree)
                    if tree not in owner or place(owner[tree], tried):
                        owner[tree] = tent
                        return True
            return False

        return all(place(tent, set()) for tent in sorted(tents))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


GENERATORS: tuple[type[Generator], ...] = (MinesweeperBoard, StarBattle, TentsAndTrees)
