"""Best parts of number grids."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import integers
from openzaya.envs.generators.text import grid_text, spaced


class MaximumRectangle(Generator):
    """Any rectangle of largest sum in a grid of positive and negative numbers."""

    name = "maximum_rectangle"
    family = "dynamic"
    form = "the sum, the top row, the left column, the bottom row and the right column of it,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 4 + (difficulty + 1) // 3, 4 + difficulty // 3
        grid = [[rng.randint(-20, 16) for _ in range(width)] for _ in range(height)]
        grid[rng.randrange(height)][rng.randrange(width)] = rng.randint(10, 16)
        question = (
            f"Here is a grid of numbers with {height} rows and {width} columns:\n{grid_text(grid)}"
            "\nRows are numbered from 1 at the top, columns from 1 at the left. Find a rectangle "
            "of whole neighbouring rows and columns, at least one cell, whose numbers have the "
            "largest sum. If several rectangles are equally good, any of them will do. The answer "
            "consists of five whole numbers."
        )
        return question, {"grid": grid}

    def solve(self, private: Mapping[str, Any]) -> str:
        grid = private["grid"]
        best: tuple[int, ...] = (-(10**9),)
        for top in range(len(grid)):
            columns = [0] * len(grid[0])
            for bottom in range(top, len(grid)):
                columns = [c + x for c, x in zip(columns, grid[bottom], strict=True)]
                run, left = 0, 0  # Kadane
                for right, c in enumerate(columns):
                    if run < 0:
                        run, left = 0, right
                    run += c
                    best = max(best, (run, top + 1, left + 1, bottom + 1, right + 1))
        return spaced(best)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        grid = private["grid"]
        said, top, left, bottom, right = integers(answer, 5)
        height, width = len(grid), len(grid[0])
        if not (1 <= top <= bottom <= height and 1 <= left <= right <= width):
            return False
        if said != sum(sum(row[left - 1 : right]) for row in grid[top - 1 : bottom]):
            return False
        for i in range(width):  # pairs of columns; prefix sums down the strip between them
            for j in range(i, width):
                total, lowest = 0, 0
                for row in grid:
                    total += sum(row[i : j + 1])
                    if total - lowest > said:
                        return False
                    lowest = min(lowest, total)
        return True

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["grid"]) * len(private["grid"][0])


class RichestDescent(Generator):
    """Any richest way down a grid in steps of at most one column to the side."""

    name = "richest_descent"
    family = "dynamic"
    form = "the columns of the visited cells from the top row to the bottom row"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 5 + difficulty, 4 + difficulty // 2
        grid = [[rng.randint(0, 30) for _ in range(width)] for _ in range(height)]
        question = (
            f"Each number is the gold in one cell of a mine with {height} rows and {width} columns:"
            f"\n{grid_text(grid)}\nBegin in any cell of the top row. From a cell one goes to the "
            "next row below, in the same column or one column to the left or right, until the "
            "bottom row is reached. Find a way on which the gold of all visited cells adds up "
            "to as much as possible. If several ways are equally good, any of them will do. "
            "Columns are numbered from 1 at the left."
        )
        return question, {"grid": grid}

    def solve(self, private: Mapping[str, Any]) -> str:
        ways = [(x, (c + 1,)) for c, x in enumerate(private["grid"][0])]
        for row in private["grid"][1:]:
            ways = [
                (x + gold, (*way, c + 1))
                for c, x in enumerate(row)
                for gold, way in [max(ways[max(0, c - 1) : c + 2])]
            ]
        return spaced(max(ways)[1])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        grid = private["grid"]
        way, width = integers(answer, len(grid)), len(grid[0])
        if not all(1 <= c <= width for c in way):
            return False
        if any(abs(a - b) > 1 for a, b in pairwise(way)):
            return False
        full = grid[-1]  # most gold from each cell of a row on, from the bottom upwards
        for row in reversed(grid[:-1]):
            full = [x + max(full[max(0, c - 1) : c + 2]) for c, x in enumerate(row)]
        return sum(row[c - 1] for row, c in zip(grid, way, strict=True)) == max(full)

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["grid"]) * len(private["grid"][0])


GENERATORS: tuple[type[Generator], ...] = (MaximumRectangle, RichestDescent)
