"""Mazes with keys and doors."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable

_DOORS = "ABCDEF"  # G is the goal; the search doubles with every further key
STEPS = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}


def beside(i: int, j: int, height: int, width: int) -> list[tuple[int, int]]:
    """The up to four cells that share an edge with a cell."""
    near = [(i + di, j + dj) for di, dj in STEPS.values()]
    return [(y, x) for y, x in near if 0 <= y < height and 0 <= x < width]


class KeyMaze(Generator):
    """Any shortest way through a maze whose doors need keys."""

    name = "key_maze"
    family = "grids"
    form = "the moves as a string of the letters U, D, L and R"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, doors = 3 + (difficulty + 1) // 2, min(1 + difficulty // 10, len(_DOORS))
        maze = self._carved(rng, n)
        open_cells = [(i, j) for i, row in enumerate(maze) for j, c in enumerate(row) if c == "."]
        while True:
            start, goal = rng.sample(open_cells, 2)
            way = self._way(maze, start, goal)
            if len(way) > 2 * doors + 4:
                break
        gates = sorted(rng.sample(range(2, len(way) - 1), doors))
        for number, at in enumerate(gates):
            maze[way[at][0]][way[at][1]] = _DOORS[number]
        maze[start[0]][start[1]], maze[goal[0]][goal[1]] = "S", "G"
        for number in range(doors):
            # The key lies where one gets before its door is open: every maze can be solved.
            shut = set(_DOORS[number:doors])
            seen, queue = {start}, deque([start])
            while queue:
                for cell in beside(*queue.popleft(), len(maze), len(maze)):
                    if cell not in seen and maze[cell[0]][cell[1]] not in {"#"} | shut:
                        seen.add(cell)
                        queue.append(cell)
            free = sorted(cell for cell in seen if maze[cell[0]][cell[1]] == ".")
            i, j = rng.choice(free)
            maze[i][j] = _DOORS[number].lower()
        lines = ["".join(row) for row in maze]
        question = (
            "In this maze, # is a wall, S the start and G the goal; small letters are keys and "
            "capital letters other than S and G are doors:\n" + "\n".join(lines) + "\nA move goes "
            "one cell up (U), down (D), left (L) or right (R), never into a wall. The door A can "
            "be entered only after the cell of key a has been visited, and likewise for all other "
            "letters. Find moves that lead from S to G; as few as possible. If several ways are "
            "equally short, any of them will do."
        )
        return question, {"maze": lines}

    def _carved(self, rng: random.Random, n: int) -> list[list[str]]:
        """n x n rooms in a tree, and a few more openings."""
        maze = [["#"] * (2 * n + 1) for _ in range(2 * n + 1)]
        maze[1][1] = "."
        stack = [(1, 1)]
        while stack:
            i, j = stack[-1]
            closed = [
                (i + 2 * di, j + 2 * dj) for di, dj in STEPS.values()
                if 0 < i + 2 * di < 2 * n and 0 < j + 2 * dj < 2 * n
                and maze[i + 2 * di][j + 2 * dj] == "#"
            ]  # fmt: skip
            if closed:
                y, x = rng.choice(closed)
                maze[y][x] = maze[(i + y) // 2][(j + x) // 2] = "."
                stack.append((y, x))
            else:
                stack.pop()
        for _ in range(n // 3):
            i, j = rng.randint(1, 2 * n - 1), rng.randint(1, 2 * n - 1)
            if i % 2 != j % 2:
                maze[i][j] = "."
        return maze

    def _way(
        self, maze: Sequence[Sequence[str]], start: tuple[int, int], goal: tuple[int, int]
    ) -> list[tuple[int, int]]:
        before, queue = {goal: goal}, deque([goal])
        while queue:
            here = queue.popleft()
            for cell in beside(*here, len(maze), len(maze)):
                if cell not in before and maze[cell[0]][cell[1]] != "#":
                    before[cell] = here
                    queue.append(cell)
        way = [start]
        while way[-1] != goal:
            way.append(before[way[-1]])
        return way

    def _moves(self, maze: list[str], state: tuple[int, int, int]) -> Iterator[tuple[str, Any]]:
        """(letter, state) of every move; a state is (row, column, keys as bits)."""
        i, j, keys = state
        for letter, (di, dj) in STEPS.items():
            cell = maze[i + di][j + dj]
            if cell == "#":
                continue
            if cell.islower():
                yield letter, (i + di, j + dj, keys | 1 << ord(cell) - 97)
            elif cell in "SG." or keys >> ord(cell) - 65 & 1:
                yield letter, (i + di, j + dj, keys)

    def _start(self, maze: list[str]) -> tuple[int, int, int]:
        i = next(i for i, row in enumerate(maze) if "S" in row)
        return i, maze[i].index("S"), 0

    def solve(self, private: Mapping[str, Any]) -> str:
        maze = private["maze"]
        start = self._start(maze)
        came: dict[Any, Any] = {start: None}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            if maze[here[0]][here[1]] == "G":
                letters = []
                while came[here]:
                    letter, here = came[here]
                    letters.append(letter)
                return "".join(reversed(letters))
            for letter, state in self._moves(maze, here):
                if state not in came:
                    came[state] = (letter, here)
                    queue.append(state)
        raise AssertionError("a maze without a way")

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        maze = private["maze"]
        moves = re.sub(r"[\s,]+", "", answer).upper()
        if not re.fullmatch(r"[UDLR]+", moves):
            raise Unparseable("the letters U, D, L and R were asked for")
        i, j, _ = self._start(maze)
        held: set[str] = set()
        for letter in moves:
            i, j = i + STEPS[letter][0], j + STEPS[letter][1]
            cell = maze[i][j]
            if cell == "#" or (cell.isupper() and cell not in "SG" and cell.lower() not in held):
                return False
            held.add(cell)
        return maze[i][j] == "G" and len(moves) == self._shortest(maze)

    def _shortest(self, maze: list[str]) -> int:
        """Sets of reachable states, move by move; each set of cells is one bit set per key ring."""
        width = len(maze[0])
        where: dict[str, int] = {}
        for at, cell in enumerate("".join(maze)):
            where[cell] = where.get(cell, 0) | 1 << at
        keys = sorted(c for c in where if c.islower())
        reached: dict[frozenset[str], int] = {frozenset(): where["S"]}
        passable: dict[frozenset[str], int] = {}
        moves = 0
        while not any(cells & where["G"] for cells in reached.values()):
            grown: dict[frozenset[str], int] = {}
            for ring, cells in reached.items():
                if ring not in passable:
                    passable[ring] = self._passable(where, ring)
                spread = cells | cells << 1 | cells >> 1 | cells << width | cells >> width
                spread &= passable[ring]
                for key in keys:
                    if key not in ring and spread & where[key]:
                        more = ring | {key}
                        grown[more] = grown.get(more, 0) | where[key]
                        spread &= ~where[key]
                grown[ring] = grown.get(ring, 0) | spread
            reached, moves = grown, moves + 1
        return moves

    def _passable(self, where: dict[str, int], ring: frozenset[str]) -> int:
        return sum(
            bits
            for c, bits in where.items()
            if c in "SG." or c.islower() or (c != "#" and c.lower() in ring)
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["maze"])


GENERATORS: tuple[type[Generator], ...] = (KeyMaze,)
