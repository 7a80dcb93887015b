"""Puzzles of one player on a board."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, groups, integers
from openzaya.envs.generators.placements import cell_text, cells_of
from openzaya.envs.generators.text import grid_text, spaced


class PegSolitaire(Generator):
    """Any sequence of jumps that leaves one peg, on boards played backwards from one."""

    name = "peg_solitaire"
    family = "games"
    form = (
        "the jumps in order, each as the row and column the peg comes from and the row and column "
        "it goes to, four numbers separated by spaces, with ; between jumps,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        k = 6 + difficulty
        n = 4
        while n * n < 2 * k + 8:
            n += 1
        jumps: list[list[int]] = []
        pegs: set[tuple[int, int]] = set()
        while len(jumps) < k:
            choices = [
                [i + 2 * di, j + 2 * dj, i, j]
                for i, j in sorted(pegs)
                for di, dj in ((-1, 0), (1, 0), (0, -1), (0, 1))
                if 0 <= i + 2 * di < n and 0 <= j + 2 * dj < n
                and (i + di, j + dj) not in pegs and (i + 2 * di, j + 2 * dj) not in pegs
            ]  # fmt: skip
            if not choices:  # the first time, and in the rare dead end
                pegs, jumps = {(rng.randrange(n), rng.randrange(n))}, []
                continue
            i, j, y, x = jump = rng.choice(choices)
            pegs.remove((y, x))
            pegs |= {(i, j), ((i + y) // 2, (j + x) // 2)}
            jumps.append(jump)
        board = [["o" if (i, j) in pegs else "." for j in range(n)] for i in range(n)]
        question = (
            f"On this board, o is a peg and . an empty hole:\n{grid_text(board)}\nA peg may jump "
            "up, down, left or right over a neighbouring peg into an empty hole directly behind "
            "it; the peg that was jumped over is removed. Find jumps after which exactly one peg "
            "is left. Rows are numbered from 1 at the top, columns from 1 at the left. Any such "
            "jumps will do."
        )
        planted = [[x + 1 for x in jump] for jump in reversed(jumps)]
        return question, {"board": ["".join(row) for row in board], "planted": planted}

    def solve(self, private: Mapping[str, Any]) -> str:
        return "; ".join(spaced(jump) for jump in private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        board = [list(row) for row in private["board"]]
        n, jumps = len(board), groups(answer)
        if any(len(jump) != 4 for jump in jumps):
            raise Unparseable("four numbers for every jump were asked for")
        for jump in jumps:
            if not all(1 <= x <= n for x in jump):
                return False
            i, j, y, x = (x - 1 for x in jump)
            if sorted((abs(i - y), abs(j - x))) != [0, 2]:
                return False
            middle = ((i + y) // 2, (j + x) // 2)
            if [board[i][j], board[middle[0]][middle[1]], board[y][x]] != ["o", "o", "."]:
                return False
            board[i][j] = board[middle[0]][middle[1]] = "."
            board[y][x] = "o"
        return sum(row.count("o") for row in board) == 1

    def size(self, private: Mapping[str, Any]) -> float:
        return sum(row.count("o") for row in private["board"])


class LightsOut(Generator):
    """Any set of presses that turns all lights off."""

    name = "lights_out"
    family = "games"
    form = 'the pressed cells as a list of row-column pairs like "1-2, 3-1"'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width = 4 + difficulty // 2, 4 + (difficulty + 1) // 2
        cells = [(i, j) for i in range(height) for j in range(width)]
        lit: set[tuple[int, int]] = set()
        planted: list[tuple[int, int]] = []
        while not lit:
            planted = sorted(rng.sample(cells, rng.randint(len(cells) // 3, len(cells) * 2 // 3)))
            lit = set()
            for i, j in planted:
                lit ^= {(i, j), (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)} & set(cells)
        board = [["1" if (i, j) in lit else "0" for j in range(width)] for i in range(height)]
        question = (
            f"Each cell of this grid is a lamp, 1 for on and 0 for off:\n{grid_text(board)}\n"
            "Pressing a cell switches its own lamp and the lamps directly above, below, left and "
            "right of it. Find cells to press, each at most once, after which all lamps are off. "
            "Rows are numbered from 1 at the top, columns from 1 at the left. Any such choice "
            "will do."
        )
        private = {"board": [[int(x) for x in row] for row in board]}
        return question, private | {"planted": [list(cell) for cell in planted]}

    def solve(self, private: Mapping[str, Any]) -> str:
        return cell_text(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        board = private["board"]
        height, width = len(board), len(board[0])
        presses = cells_of(answer, height, width)
        return all(
            board[i][j]
            == sum(abs(i - y) + abs(j - x) <= 1 and (y, x) in presses
                   for y in range(max(0, i - 1), i + 2) for x in range(max(0, j - 1), j + 2)) % 2
            for i in range(height) for j in range(width)
        )  # fmt: skip

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["board"]) * len(private["board"][0])


class SlidingTiles(Generator):
    """Any short way between two positions of sliding tiles."""

    name = "sliding_tiles"
    family = "games"
    form = "the numbers on the tiles in the order in which they are moved, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        height, width, k = 3 + difficulty // 8, 3 + (difficulty + 4) // 8, 6 + difficulty
        flat = rng.sample(range(height * width), height * width)
        goal, hole, moves = list(flat), flat.index(0), []
        while len(moves) < k or flat == goal:
            i, j = divmod(hole, width)
            near = [
                y * width + x for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
                if 0 <= y < height and 0 <= x < width
                and flat[y * width + x] != (moves[-1] if moves else 0)
            ]  # fmt: skip
            at = rng.choice(near)
            moves.append(flat[at])
            flat[hole], flat[at], hole = flat[at], 0, at
        start, end = (
            [cells[i * width : (i + 1) * width] for i in range(height)] for cells in (flat, goal)
        )
        texts = [grid_text([x or "_" for x in row] for row in grid) for grid in (start, end)]
        question = (
            f"In this frame, _ is the empty place:\n{texts[0]}\nA move slides a tile from "
            "directly above, below, left or right of the empty place into it. Reach this "
            f"position:\n{texts[1]}\nUse at most {len(moves)} moves; any such moves will do."
        )
        return question, {"grid": start, "goal": end, "k": len(moves), "planted": moves[::-1]}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        moves, goal = integers(answer), private["goal"]
        place = {x: (i, j) for i, row in enumerate(private["grid"]) for j, x in enumerate(row)}
        if len(moves) > private["k"]:
            return False
        for tile in moves:
            (i, j), (y, x) = place.get(tile, (-9, -9)), place[0]
            if abs(i - y) + abs(j - x) != 1:
                return False
            place[tile], place[0] = place[0], place[tile]
        return all(place[x] == (i, j) for i, row in enumerate(goal) for j, x in enumerate(row))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["k"]


GENERATORS: tuple[type[Generator], ...] = (PegSolitaire, LightsOut, SlidingTiles)
