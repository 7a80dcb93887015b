"""Grids to divide and to run through: number chains, pieces, rectangles."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.mazes import beside
from openzaya.envs.generators.parse import Unparseable, digit_rows, groups
from openzaya.envs.generators.text import grid_text, spaced


class NumberChain(Generator):
    """Any filling of a grid in which each number neighbours the next (Numbrix)."""

    name = "number_chain"
    family = "grids"
    form = "the completed grid, one row per line with spaces between the numbers,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 4 + difficulty // 2, 4 + (difficulty + 1) // 2
        path = self._path(rng, height, width)
        full = [[0] * width for _ in range(height)]
        for number, (i, j) in enumerate(path, 1):
            full[i][j] = number
        cells = height * width
        shown = set(rng.sample(range(1, cells + 1), max(1, cells * rng.randint(25, 40) // 100)))
        grid = [[x if x in shown else 0 for x in row] for row in full]
        question = (
            f"Replace every _ in this grid by a number so that the grid holds each of the numbers "
            f"1 to {cells} exactly once and every number but the last stands directly above, "
            "below, left or right of the next higher number:\n"
            f"{grid_text([x or '_' for x in row] for row in grid)}\nAny such grid will do."
        )
        return question, {"grid": grid, "planted": full}

    def _path(self, rng: random.Random, height: int, width: int) -> list[tuple[int, int]]:
        """A random Hamiltonian path: a snake, then backbites at its ends."""
        path = [(i, j if i % 2 else width - 1 - j) for i in range(height) for j in range(width)]
        for _ in range(3 * len(path)):
            if rng.random() < 0.5:
                path.reverse()
            bite = rng.choice(beside(*path[-1], height, width))
            at = path.index(bite)
            path[at + 1 :] = path[:at:-1]
        return path

    def solve(self, private: Mapping[str, Any]) -> str:
        return grid_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        grid = private["grid"]
        height, width = len(grid), len(grid[0])
        said = digit_rows(answer, height, width)
        place = {x: (i, j) for i, row in enumerate(said) for j, x in enumerate(row)}
        if sorted(place) != list(range(1, height * width + 1)):
            return False
        if any(x and place[x] != (i, j) for i, row in enumerate(grid) for j, x in enumerate(row)):
            return False
        return all(
            abs(place[x][0] - place[x + 1][0]) + abs(place[x][1] - place[x + 1][1]) == 1
            for x in range(1, height * width)
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["grid"]) * len(private["grid"][0])


class PolyominoPacking(Generator):
    """Any packing of given pieces into a rectangle, without turning them."""

    name = "polyomino_packing"
    family = "grids"
    form = (
        "the filled rectangle, one row per line with spaces between the cells, each cell the "
        "number of the piece that covers it,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 4 + difficulty // 2, 4 + (difficulty + 1) // 2
        grid = [[0] * width for _ in range(height)]
        pieces: list[list[tuple[int, int]]] = []
        for at in range(height * width):
            i, j = divmod(at, width)
            if grid[i][j]:
                continue
            piece, wanted = [(i, j)], rng.randint(3, 5)
            grid[i][j] = -1
            while len(piece) < wanted:
                free = sorted({c for p in piece for c in beside(*p, height, width)} - set(piece))
                free = [(y, x) for y, x in free if not grid[y][x]]
                if not free:
                    break
                piece.append(rng.choice(free))
                grid[piece[-1][0]][piece[-1][1]] = -1
            pieces.append(piece)
        rng.shuffle(pieces)
        for number, piece in enumerate(pieces, 1):
            for i, j in piece:
                grid[i][j] = number
        shapes = [self._shape(piece) for piece in pieces]
        pictures = "\n".join(f"Piece {k}:\n{self._drawn(s)}" for k, s in enumerate(shapes, 1))
        question = (
            f"Cover a rectangle of {height} rows and {width} columns with these pieces, whose "
            f"cells are drawn as #:\n{pictures}\nEvery piece is used exactly once and covers whole "
            "cells; pieces may be moved but neither turned nor flipped; every cell is covered by "
            "exactly one piece. Any such covering will do."
        )
        private = {"height": height, "width": width, "shapes": shapes, "planted": grid}
        return question, private

    def _shape(self, piece: Sequence[tuple[int, int]]) -> list[list[int]]:
        top, left = min(i for i, _ in piece), min(j for _, j in piece)
        return sorted([i - top, j - left] for i, j in piece)

    def _drawn(self, shape: list[list[int]]) -> str:
        picture = [["."] * (1 + max(j for _, j in shape)) for _ in range(1 + shape[-1][0])]
        for i, j in shape:
            picture[i][j] = "#"
        return grid_text(picture, "")

    def solve(self, private: Mapping[str, Any]) -> str:
        return grid_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said = digit_rows(answer, private["height"], private["width"])
        covered: dict[int, list[tuple[int, int]]] = {}
        for i, row in enumerate(said):
            for j, piece in enumerate(row):
                covered.setdefault(piece, []).append((i, j))
        shapes = dict(enumerate(private["shapes"], 1))
        return {k: self._shape(cells) for k, cells in covered.items()} == shapes

    def size(self, private: Mapping[str, Any]) -> float:
        return private["height"] * private["width"]


class RectangleDivision(Generator):
    """Any division into rectangles, each with one number that is its area (Shikaku)."""

    name = "rectangle_division"
    family = "grids"
    form = (
        "all rectangles, each as its top row, left column, bottom row and right column separated "
        "by spaces, with ; between rectangles,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 5 + difficulty // 2, 5 + (difficulty + 1) // 2
        waiting, parts = [(1, 1, height, width)], []
        while waiting:
            t, l, b, r = waiting.pop()  # noqa: E741 - top, left, bottom, right
            tall, wide = b - t + 1, r - l + 1
            if tall * wide <= rng.randint(3, 7):
                parts.append([t, l, b, r])
            elif rng.randrange(tall + wide) < tall and tall > 1:
                cut = rng.randint(t, b - 1)
                waiting += [(t, l, cut, r), (cut + 1, l, b, r)]
            elif wide > 1:
                cut = rng.randint(l, r - 1)
                waiting += [(t, l, b, cut), (t, cut + 1, b, r)]
            else:
                waiting.append((t, l, b, r))
        grid = [["."] * width for _ in range(height)]
        numbers = []
        for t, l, b, r in parts:  # noqa: E741
            i, j, area = rng.randint(t, b), rng.randint(l, r), (b - t + 1) * (r - l + 1)
            numbers.append([i, j, area])
            grid[i - 1][j - 1] = str(area)
        question = (
            f"Divide this grid of {height} rows and {width} columns into rectangles along its "
            f"lines:\n{grid_text(grid)}\nEvery cell must belong to exactly one rectangle. Every "
            "rectangle must hold exactly one number, and that number must be the count of its "
            "cells. Rows are numbered from 1 at the top, columns from 1 at the left. Any such "
            "division will do."
        )
        private = {"height": height, "width": width, "numbers": sorted(numbers)}
        return question, private | {"planted": sorted(parts)}

    def solve(self, private: Mapping[str, Any]) -> str:
        return "; ".join(spaced(part) for part in private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        height, width, numbers = private["height"], private["width"], private["numbers"]
        said = groups(answer)
        if any(len(part) != 4 for part in said):
            raise Unparseable("four numbers for every rectangle were asked for")
        if len(said) != len(numbers):
            return False
        owner: dict[tuple[int, int], int] = {}
        for k, (top, left, bottom, right) in enumerate(said):
            if not (1 <= top <= bottom <= height and 1 <= left <= right <= width):
                return False
            for i in range(top, bottom + 1):
                for j in range(left, right + 1):
                    if owner.setdefault((i, j), k) != k:
                        return False
        held = [owner.get((i, j), -1) for i, j, _ in numbers]
        areas = list(owner.values())
        return (
            len(owner) == height * width
            and len(set(held)) == len(said)
            and all(areas.count(k) == n[2] for k, n in zip(held, numbers, strict=True))
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["height"] * private["width"]


GENERATORS: tuple[type[Generator], ...] = (NumberChain, PolyominoPacking, RectangleDivision)
