"""Puzzles of one player: moves that lead from one order to another."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, groups, integers, pairs
from openzaya.envs.generators.text import arc_text, listed, spaced


class HanoiBetween(Generator):
    """Any short way between two positions of the Tower of Hanoi."""

    name = "hanoi_between"
    family = "games"
    form = 'the moves in order as a list like "1-3, 2-1"'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, k = 6 + difficulty // 3, 6 + difficulty
        goal = [rng.randint(1, 3) for _ in range(n)]  # peg of each disk, the smallest first
        walk = [goal]
        while len(walk) <= k:  # a walk that never returns, back from the goal
            steps = [step for step in self._after(walk[-1]) if step not in walk]
            if len(walk) > 1:  # the same disk twice would be one move
                disk = next(d for d in range(n) if walk[-1][d] != walk[-2][d])
                steps = [step for step in steps if step[disk] == walk[-1][disk]]
            if steps:
                walk.append(rng.choice(steps))
            if not steps or (len(walk) > k and self._near(walk[-1], goal, 3)):
                del walk[rng.randrange(1, len(walk)) :]  # a dead end, or too easy
        state = walk[-1]
        moves = [
            next([b, a] for a, b in zip(old, new, strict=True) if a != b)
            for old, new in pairwise(walk)
        ]
        moves.reverse()
        question = (
            f"{n} disks, numbered 1 (smallest) to {n} (largest), lie on three pegs, never a larger "
            f"one on a smaller one. Now, from bottom to top:\n{self._drawn(state)}\nA move takes "
            "the top disk of one peg and puts it on another peg that is empty or whose top disk "
            "is larger. Reach this position:\n"
            f"{self._drawn(goal)}\nUse at most {len(moves)} moves; any such moves will do. Write "
            "a move as the peg it takes from and the peg it goes to, with - between them."
        )
        return question, {"start": state, "goal": goal, "k": len(moves), "planted": moves}

    def _after(self, state: list[int]) -> list[list[int]]:
        """All positions one move away."""
        top = {peg: state.index(peg) if peg in state else len(state) for peg in (1, 2, 3)}
        return [
            [*state[: top[peg]], to, *state[top[peg] + 1 :]]
            for peg in (1, 2, 3)
            for to in (1, 2, 3)
            if top[peg] < top[to]
        ]

    def _near(self, state: list[int], goal: list[int], moves: int) -> bool:
        if state == goal or moves == 0:
            return state == goal
        return any(self._near(after, goal, moves - 1) for after in self._after(state))

    def _drawn(self, state: list[int]) -> str:
        lines = []
        for peg in (1, 2, 3):
            disks = [d + 1 for d, p in reversed(list(enumerate(state))) if p == peg]
            lines.append(f"Peg {peg}: {spaced(disks) or 'empty'}")
        return "\n".join(lines)

    def solve(self, private: Mapping[str, Any]) -> str:
        return listed(f"{a}-{b}" for a, b in private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        pegs: dict[int, list[int]] = {1: [], 2: [], 3: []}
        for disk in range(len(private["start"]), 0, -1):
            pegs[private["start"][disk - 1]].append(disk)
        moves = pairs(answer)
        if len(moves) > private["k"]:
            return False
        for a, b in moves:
            if a == b or a not in pegs or b not in pegs or not pegs[a]:
                return False
            if pegs[b] and pegs[b][-1] < pegs[a][-1]:
                return False
            pegs[b].append(pegs[a].pop())
        return all(d + 1 in pegs[peg] for d, peg in enumerate(private["goal"]))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["k"]


class PancakeFlips(Generator):
    """Any few flips that sort a stack."""

    name = "pancake_flips"
    family = "games"
    form = "how many pancakes are turned in each flip, in order, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, k = 9 + difficulty // 2, 5 + difficulty // 2
        stack, flips = list(range(1, n + 1)), []
        while len(flips) < k or stack == sorted(stack):
            count = rng.choice([c for c in range(2, n + 1) if c != (flips[-1] if flips else 0)])
            stack[:count] = stack[:count][::-1]
            flips.append(count)
        question = (
            f"A stack of {n} pancakes has, from top to bottom, these sizes: {spaced(stack)}. A "
            "flip turns some number of pancakes at the top of the stack over, so that their order "
            "is reversed.\nSort the stack with the smallest pancake at the top and the largest "
            f"one at the bottom, in at most {len(flips)} flips. Any such flips will do."
        )
        return question, {"stack": stack, "k": len(flips), "planted": flips[::-1]}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        flips, stack = integers(answer), list(private["stack"])
        if len(flips) > private["k"] or not all(1 <= c <= len(stack) for c in flips):
            return False
        for count in flips:
            stack = stack[count - 1 :: -1] + stack[count:]
        return stack == list(range(1, len(stack) + 1))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["k"]


class PermutationPuzzle(Generator):
    """Any short word in given permutations that sorts a row."""

    name = "permutation_puzzle"
    family = "games"
    form = "the names of the moves in order, as a string of letters,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n, k = 6 + difficulty // 2, 5 + difficulty
        home = list(range(1, n + 1))
        moves = {}
        for name in "ABC":
            places = home
            while places == home or places in moves.values():
                places = rng.sample(home, n)
            moves[name] = places
        row, word = home, list[str]()
        while row == home:
            word, row = rng.choices("ABC", k=k), home
            for name in reversed(word):
                row = [row[to - 1] for to in moves[name]]
        lines = "\n".join(
            f"Move {name}: {arc_text(enumerate(places, 1))}" for name, places in moves.items()
        )
        question = (
            f"{n} cards lie in a row, on places 1 to {n}, in this order: {spaced(row)}.\nThere are "
            f"three moves. Each one moves all cards at once; 2->5 means that the card on place 2 "
            f"goes to place 5:\n{lines}\nBring the cards into the order {spaced(home)} in at most "
            f"{k} moves. Any such moves will do."
        )
        return question, {"row": row, "moves": moves, "k": k, "planted": "".join(word)}

    def solve(self, private: Mapping[str, Any]) -> str:
        return private["planted"]

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        word = re.sub(r"[\s,]+", "", answer).upper()
        if not re.fullmatch(r"[ABC]+", word):
            raise Unparseable("the letters A, B and C were asked for")
        row = list(private["row"])
        if len(word) > private["k"]:
            return False
        for name in word:
            moved = [0] * len(row)
            for card, to in zip(row, private["moves"][name], strict=True):
                moved[to - 1] = card
            row = moved
        return row == list(range(1, len(row) + 1))

    def size(self, private: Mapping[str, Any]) -> float:
        return private["k"]


class BridgeAndTorch(Generator):
    """Any schedule of crossings within the least possible time."""

    name = "bridge_and_torch"
    family = "games"
    form = "the crossings in order, each as the numbers of those who cross, with ; between them,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 5 + (difficulty + 1) // 2
        times = rng.sample(range(1, 12 + 3 * n), n)
        plan = self._plan(times)
        limit = sum(max(times[p - 1] for p in crossing) for crossing in plan)
        who = listed(f"person {i} needs {t}" for i, t in enumerate(times, 1))
        question = (
            f"{n} persons stand on one side of a bridge at night and want to get to the other "
            f"side. To cross it, this many minutes are needed: {who}. At most two persons can "
            "be on the bridge at a time, and they must carry the only torch, which is with the "
            "group at the start. Two who cross together need as long as the slower one. The torch "
            "must be carried back by one or two persons whenever others still wait.\nBring all "
            f"persons across in at most {limit} minutes. Crossings there and back take turns, "
            "beginning with one there. Any such plan will do."
        )
        return question, {"times": times, "limit": limit}

    def _plan(self, times: list[int]) -> list[list[int]]:
        """The quickest two ferry the slowest two, in the cheaper of the two ways known best."""
        order = sorted(range(1, len(times) + 1), key=lambda p: times[p - 1])
        plan: list[list[int]] = []
        while len(order) > 3:
            a, b, *_, y, z = order
            ta, tb, ty = (times[p - 1] for p in (a, b, y))
            if 2 * tb <= ta + ty:
                plan += [[a, b], [a], [y, z], [b]]
            else:
                plan += [[a, z], [a], [a, y], [a]]
            del order[-2:]
        if len(order) == 3:
            plan += [[order[0], order[2]], [order[0]]]
        return [*plan, order[:2]]

    def solve(self, private: Mapping[str, Any]) -> str:
        return "; ".join(spaced(crossing) for crossing in self._plan(private["times"]))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        times, total = private["times"], 0
        plan, here, there = groups(answer), set(range(1, len(times) + 1)), set()
        for crossing in plan:
            who = set(crossing)
            if not here or len(crossing) > 2 or len(who) < len(crossing) or not who <= here:
                return False
            total += max(times[p - 1] for p in who)
            here, there = there | who, here - who  # the torch's side comes first
        # After the last crossing the torch's side holds everybody; it must be the far one.
        return not there and len(plan) % 2 == 1 and total <= private["limit"]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["times"])


GENERATORS: tuple[type[Generator], ...] = (
    HanoiBetween,
    PancakeFlips,
    PermutationPuzzle,
    BridgeAndTorch,
)
