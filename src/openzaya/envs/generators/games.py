"""Games of two players: who wins from here, and by which move."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Mapping
from functools import reduce
from itertools import accumulate, pairwise
from operator import xor
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, pairs
from openzaya.envs.generators.text import arc_text, listed

Leaf = int | list[Any]


class SubtractionNim(Generator):
    """All winning moves with several piles from which only certain numbers may be taken."""

    name = "subtraction_nim"
    family = "games"
    form = 'all winning moves as a list like "1-3, 2-1", the pile first, then the number taken,'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count, top = 4 + difficulty // 3, 12 + 3 * difficulty
        while True:
            takes = sorted(rng.sample(range(1, 10 + difficulty // 2), 5))
            values = self._grundy(takes, top)
            piles = [rng.randint(max(1, top // 4), top) for _ in range(count)]
            if reduce(xor, (values[p] for p in piles)):
                break
        shown = listed(f"pile {i} with {p}" for i, p in enumerate(piles, 1))
        question = (
            f"Two players take turns with these piles of stones: {shown}. In each turn, the "
            "player takes stones from exactly one pile; their number must be one of "
            f"{listed(takes)}. Whoever cannot move loses.\nIt is your turn. Find all moves after "
            "which you can force a win; there is at least one."
        )
        return question, {"piles": piles, "takes": takes}

    def _grundy(self, takes: list[int], top: int) -> list[int]:
        values: list[int] = []
        for pile in range(top + 1):
            reached = {values[pile - t] for t in takes if t <= pile}
            values.append(next(g for g in range(len(takes) + 1) if g not in reached))
        return values

    def solve(self, private: Mapping[str, Any]) -> str:
        piles, takes = private["piles"], private["takes"]
        values = self._grundy(takes, max(piles))
        whole = reduce(xor, (values[p] for p in piles))
        return listed(
            f"{i}-{t}"
            for i, p in enumerate(piles, 1)
            for t in takes
            if t <= p and whole ^ values[p] ^ values[p - t] == 0
        )

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said, piles, takes = pairs(answer), private["piles"], private["takes"]
        # Level by level: a size has the first value that no take leads to.
        level = [-1] * (max(piles) + 1)
        for g in range(len(takes) + 1):
            for size in range(len(level)):
                if level[size] < 0 and all(s > size or level[size - s] != g for s in takes):
                    level[size] = g
        right = set()
        for i, p in enumerate(piles):
            rest = reduce(xor, (level[q] for k, q in enumerate(piles) if k != i))
            right |= {(i + 1, t) for t in takes if t <= p and level[p - t] == rest}
        return len(said) == len(right) and set(said) == right

    def size(self, private: Mapping[str, Any]) -> float:
        return sum(private["piles"])


class WinLoseDraw(Generator):
    """The outcome of every position of a game on a graph with cycles."""

    name = "win_lose_draw"
    family = "games"
    form = "one letter W, L or D for every field from field 1 on, without gaps,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 7 + 2 * difficulty
        while True:
            arcs: set[tuple[int, int]] = set()
            dead = set(rng.sample(range(1, n + 1), max(1, n // 5)))
            live = [v for v in range(1, n + 1) if v not in dead]
            for u in live:
                for v in rng.sample(range(1, n + 1), rng.choice((1, 2, 2, 3))):
                    if v != u:
                        arcs.add((u, v))
            private = {"n": n, "arcs": [list(arc) for arc in sorted(arcs)]}
            letters = self.solve(private)
            if min(letters.count(c) for c in "WLD") > (n > 6):
                break
        question = (
            f"Two players move one token in turn over {n} fields, numbered 1 to {n}, along one of "
            f"these arrows: {arc_text(private['arcs'])}. Whoever has to move from a field without "
            "an outgoing arrow loses. A game that never ends is a draw. Both play as well as "
            "possible.\nFor every field, say how the game ends for the player who has to move when "
            "the token stands there: W for a win, L for a loss, D for a draw."
        )
        return question, private

    def solve(self, private: Mapping[str, Any]) -> str:
        n = private["n"]
        open_moves, back = [0] * (n + 1), [[] for _ in range(n + 1)]
        for u, v in private["arcs"]:
            open_moves[u] += 1
            back[v].append(u)
        outcome = ["D"] * (n + 1)
        queue = deque(v for v in range(1, n + 1) if not open_moves[v])
        for v in queue:
            outcome[v] = "L"
        while queue:  # backwards from the ends
            v = queue.popleft()
            for u in back[v]:
                open_moves[u] -= 1
                if outcome[u] == "D" and (outcome[v] == "L" or not open_moves[u]):
                    outcome[u] = "W" if outcome[v] == "L" else "L"
                    queue.append(u)
        return "".join(outcome[1:])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said = re.sub(r"[\s,]+", "", answer).upper()
        if not re.fullmatch(r"[WLD]+", said) or len(said) != private["n"]:
            raise Unparseable("one letter W, L or D for every field was asked for")
        moves: dict[int, set[int]] = {v: set() for v in range(1, private["n"] + 1)}
        for u, v in private["arcs"]:
            moves[u].add(v)
        won: set[int] = set()
        lost: set[int] = set()
        while True:  # the least sets that the rules close: won and lost within ever more moves
            more_lost = {u for u, out in moves.items() if out <= won}
            more_won = {u for u, out in moves.items() if out & more_lost}
            if (more_won, more_lost) == (won, lost):
                break
            won, lost = more_won, more_lost
        return all(
            letter == ("W" if v in won else "L" if v in lost else "D")
            for v, letter in enumerate(said, 1)
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class MinimaxLine(Generator):
    """The value of a game tree, and any line of best play."""

    name = "minimax_line"
    family = "games"
    form = (
        "the final number and then, move by move, which entry is chosen (1 for the first entry of "
        "the current list), separated by spaces,"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        def grown(leaves: int) -> Leaf:
            if leaves == 1:
                return rng.randint(1, 60)
            parts = min(leaves, rng.randint(2, 3))
            cuts = sorted(rng.sample(range(1, leaves), parts - 1))
            ends = [0, *cuts, leaves]
            return [grown(b - a) for a, b in pairwise(ends)]

        tree = grown(10 + 3 * difficulty)
        question = (
            f"Two players walk through this nested list:\n{tree}\nThe first player chooses one "
            "entry of the outermost list. If that is a list, the second player chooses one of its "
            "entries, and so on in turn, until a number is chosen. The first player wants this "
            "number to be as large as possible, the second player as small as possible. Find the "
            "number at which the game ends when both play as well as possible, and the moves of "
            "such a game. If several games are equally good, any of them will do."
        )
        return question, {"tree": tree}

    def solve(self, private: Mapping[str, Any]) -> str:
        def best(tree: Leaf, largest: bool) -> tuple[int, list[int]]:
            if isinstance(tree, int):
                return tree, []
            tries = [best(part, not largest) for part in tree]
            at = (max if largest else min)(range(len(tries)), key=lambda i: tries[i][0])
            return tries[at][0], [at + 1, *tries[at][1]]

        value, moves = best(private["tree"], True)
        return " ".join(map(str, [value, *moves]))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        value, *moves = integers(answer) or [0]
        tree: Leaf = private["tree"]

        def reaches(tree: Leaf, bound: int, first: bool) -> bool:
            """Whether the first player can force at least `bound`."""
            if isinstance(tree, int):
                return tree >= bound
            return (any if first else all)(reaches(part, bound, not first) for part in tree)

        first = True
        for move in moves:
            # On a line of best play, every position is worth exactly the value.
            if isinstance(tree, int) or not 1 <= move <= len(tree):
                return False
            if not reaches(tree, value, first) or reaches(tree, value + 1, first):
                return False
            tree, first = tree[move - 1], not first
        return tree == value

    def size(self, private: Mapping[str, Any]) -> float:
        return str(private["tree"]).count(",") + 1


class TakeFromEnds(Generator):
    """The best first move and the exact margin of a game of taking numbers from both ends."""

    name = "take_from_ends"
    family = "games"
    form = "L or R for the first move, followed by the sum that the first player gets,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        row = [rng.randint(1, 50) for _ in range(7 + 2 * difficulty)]
        question = (
            f"Cards with these numbers lie in a row: {listed(row)}.\nTwo players take turns; each "
            "takes the leftmost or the rightmost card that is left, until none is left. Each wants "
            "the sum of the own cards to be as large as possible. Which card should the first "
            "player take first, the leftmost (L) or the rightmost (R), and which sum does that "
            "player get if both play as well as possible? If both cards are equally good, either "
            "will do."
        )
        return question, {"row": row}

    def solve(self, private: Mapping[str, Any]) -> str:
        row = private["row"]
        lead = list(row)  # of the player to move, for stretches of growing length
        options = (0, 0)
        for length in range(2, len(row) + 1):
            grown = []
            for i in range(len(row) - length + 1):
                options = (row[i] - lead[i + 1], row[i + length - 1] - lead[i])
                grown.append(max(options))
            lead = grown
        side = "L" if options[0] >= options[1] else "R"
        return f"{side} {(sum(row) + lead[0]) // 2}"

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        match = re.fullmatch(r"([LR])[\s,:]*([0-9]{1,9})", answer.strip().upper())
        if match is None:
            raise Unparseable("L or R and a whole number were asked for")
        total = [0, *accumulate(private["row"])]
        gets = [0] * len(total)  # what the player to move gets of the `length` cards from i on
        left = right = 0  # what the first player gets after each first move
        for length in range(1, len(total)):
            left, right = (total[-1] - rest for rest in (gets[1], gets[0]))
            gets = [
                total[i + length] - total[i] - min(gets[i], gets[i + 1])
                for i in range(len(total) - length)
            ]
        return (left if match[1] == "L" else right) == int(match[2]) == gets[0]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["row"])


GENERATORS: tuple[type[Generator], ...] = (
    SubtractionNim, WinLoseDraw, MinimaxLine, TakeFromEnds,
)  # fmt: skip
