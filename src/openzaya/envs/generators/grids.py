"""Grids to fill in: Latin squares, towers, pictures."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, digit_rows, rows
from openzaya.envs.generators.text import grid_text, listed, spaced


def latin_square(rng: random.Random, n: int) -> list[list[int]]:
    """A cyclic square with rows, columns and symbols shuffled."""
    down, across, symbols = (rng.sample(range(n), n) for _ in range(3))
    return [[symbols[(i + j) % n] + 1 for j in across] for i in down]


def is_latin(grid: Sequence[Sequence[int]]) -> bool:
    """Whether every row and every column holds each of 1..n once."""
    wanted = set(range(1, len(grid) + 1))
    return all(set(line) == wanted for line in [*grid, *zip(*grid, strict=True)])


class LatinCompletion(Generator):
    """Any completion of a Latin square."""

    name = "latin_completion"
    family = "grids"
    form = "the completed grid, one row per line with spaces between the numbers,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 4 + (difficulty + 1) // 2
        full = latin_square(rng, n)
        gone = set(rng.sample(range(n * n), n * n * rng.randint(50, 65) // 100))
        grid = [[0 if i * n + j in gone else full[i][j] for j in range(n)] for i in range(n)]
        shown = grid_text([x or "_" for x in row] for row in grid)
        question = (
            f"Replace every _ in this grid by a number so that each row and each column holds each "
            f"of the numbers 1 to {n} exactly once:\n{shown}\nAny such completion will do."
        )
        return question, {"grid": grid, "planted": full}

    def solve(self, private: Mapping[str, Any]) -> str:
        return grid_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        given = private["grid"]
        said = digit_rows(answer, len(given), len(given))
        kept = all(
            g in (0, x) for a, b in zip(given, said, strict=True) for g, x in zip(a, b, strict=True)
        )
        return kept and is_latin(said)

    def size(self, private: Mapping[str, Any]) -> float:
        return sum(row.count(0) for row in private["grid"])


class Skyscrapers(Generator):
    """Any Latin square of heights that shows the given numbers of towers from outside."""

    name = "skyscrapers"
    family = "grids"
    form = "the grid of heights, one row per line with spaces between the numbers,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 4 + difficulty // 2
        full = latin_square(rng, n)
        clues = self._clues(full)
        given = sorted([i, j, full[i][j]] for i, j in self._some(rng, n, n // 2))
        cells = listed(f"row {i + 1} column {j + 1}: {x}" for i, j, x in given)
        left, right, top, bottom = (spaced(line) for line in clues)
        question = (
            f"On a square of {n} x {n} plots stand towers of heights 1 to {n}, one on each plot. "
            "Each row and each column holds each height exactly once. Looking along a row or "
            "column from its end, one sees a tower if all towers before it are lower. This many "
            f"towers are seen\nfrom the left, for the rows from top to bottom: {left}\n"
            f"from the right, for the rows from top to bottom: {right}\n"
            f"from above, for the columns from left to right: {top}\n"
            f"from below, for the columns from left to right: {bottom}\n"
            + (f"These heights are known: {cells}.\n" if cells else "")
            + "Find the heights of all towers. Any grid that fits will do."
        )
        return question, {"n": n, "clues": clues, "given": given, "planted": full}

    def _some(self, rng: random.Random, n: int, count: int) -> list[tuple[int, int]]:
        return [divmod(at, n) for at in rng.sample(range(n * n), count)]

    def _clues(self, grid: Sequence[Sequence[int]]) -> list[list[int]]:
        def seen(line: Sequence[int]) -> int:
            return sum(x > max(line[:i], default=0) for i, x in enumerate(line))

        columns = list(zip(*grid, strict=True))
        return [
            [seen(row) for row in grid],
            [seen(row[::-1]) for row in grid],
            [seen(column) for column in columns],
            [seen(column[::-1]) for column in columns],
        ]

    def solve(self, private: Mapping[str, Any]) -> str:
        return grid_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said = digit_rows(answer, private["n"], private["n"])
        if not is_latin(said) or any(said[i][j] != x for i, j, x in private["given"]):
            return False
        return self._clues(said) == private["clues"]

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class Nonogram(Generator):
    """Any picture with the given runs."""

    name = "nonogram"
    family = "grids"
    form = "the picture, one row per line, with # for a black and . for a white cell,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 5 + difficulty // 2, 5 + (difficulty + 1) // 2
        share = rng.uniform(0.45, 0.7)
        picture = ["".join(".#"[rng.random() < share] for _ in range(width)) for _ in range(height)]
        across = [self._runs(row) for row in picture]
        down = [self._runs(column) for column in zip(*picture, strict=True)]
        text = [
            "\n".join(f"{kind} {i}: {spaced(runs) or 'none'}" for i, runs in enumerate(lines, 1))
            for kind, lines in (("Row", across), ("Column", down))
        ]
        question = (
            f"A picture of {height} rows and {width} columns consists of black and white cells. "
            "For each row, from left to right, and each column, from top to bottom, the lengths of "
            f"its unbroken runs of black cells are given in order:\n{text[0]}\n{text[1]}\n"
            "Find a picture that fits. Any such picture will do."
        )
        return question, {"across": across, "down": down, "planted": picture}

    def _runs(self, line: Iterable[str]) -> list[int]:
        return [len(list(run)) for cell, run in groupby(line) if cell == "#"]

    def solve(self, private: Mapping[str, Any]) -> str:
        return "\n".join(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        across, down = private["across"], private["down"]
        picture = rows(answer, len(across), len(down))
        if {cell for row in picture for cell in row} - {"#", "."}:
            raise Unparseable("cells # and . were asked for")
        columns = zip(*picture, strict=True)
        fits = [self._runs(row) for row in picture] == across
        return fits and [self._runs(column) for column in columns] == down

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["across"]) * len(private["down"])


GENERATORS: tuple[type[Generator], ...] = (LatinCompletion, Skyscrapers, Nonogram)
