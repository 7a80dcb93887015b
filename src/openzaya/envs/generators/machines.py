"""Machines, automata and data structures, traced step by step or run backwards."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, letters

Private = Mapping[str, Any]


class AutomatonPredecessor(Generator):
    """A row of cells one step earlier; every row that leads there is right."""

    name, family = "automaton_predecessor", "programs"
    form = "the earlier row as digits 0 and 1 without spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        length = 9 + difficulty
        while True:
            rule = [int(bit) for bit in f"{rng.randrange(256):08b}"[::-1]]  # by 4 l + 2 m + r
            row = self._step(rule, [rng.randint(0, 1) for _ in range(length)])
            if 3 <= sum(rule) <= 5 and 2 <= sum(row) <= length - 2:
                break
        table = ", ".join(f"{i:03b} gives {rule[i]}" for i in range(8))
        question = (
            f"{length} cells stand in a ring; the last one is the left neighbour of the first. In "
            "one step all cells change at once: the new value of a cell is decided by its left "
            f"neighbour, itself and its right neighbour, in this order: {table}. After one step "
            f"the row is {''.join(map(str, row))}. What may the row have been before? Any row that "
            "leads there is accepted."
        )
        return question, {"rule": rule, "row": row}

    @staticmethod
    def _step(rule: Sequence[int], row: Sequence[int]) -> list[int]:
        n = len(row)
        return [rule[4 * row[i - 1] + 2 * row[i] + row[(i + 1) % n]] for i in range(n)]

    def solve(self, private: Private) -> str:
        """Pairs of neighbours from left to right, for each first pair, until the ring closes."""
        rule, row = private["rule"], private["row"]
        for first in range(4):
            # ways[i]: the pair (cell i, cell i + 1) to a row that ends in it.
            ways = {first: f"{first:02b}"}
            for wanted in row[1:]:
                following: dict[int, str] = {}
                for pair, cells in ways.items():
                    for new in range(2):
                        if rule[2 * pair + new] == wanted:
                            following.setdefault((2 * pair + new) % 4, cells + str(new))
                ways = following
            # The last pair is (last cell, first cell again); the first cell's rule closes the ring.
            for pair, cells in ways.items():
                last, again = divmod(pair, 2)
                if again == first // 2 and rule[4 * last + first] == row[0]:
                    return cells[: len(row)]
        raise AssertionError("a row with a predecessor has one")

    def judge(self, private: Private, answer: str) -> bool:
        bits = "".join(answer.split())
        if not re.fullmatch(r"[01]{1,10000}", bits):
            raise Unparseable("a row of digits 0 and 1 was asked for")
        if len(bits) != len(private["row"]):
            return False
        return self._step(private["rule"], [int(bit) for bit in bits]) == private["row"]

    def size(self, private: Private) -> float:
        return len(private["row"])


class RoundRobinSchedule(Generator):
    """Jobs that share one processor in turns; when is each finished?"""

    name, family = "round_robin_schedule", "programs"
    form = "the finishing times in the order of the list, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        turn, jobs = rng.randint(2, 5), []
        for _ in range(4 + difficulty // 2):
            jobs.append([rng.randint(0, 12 + 3 * difficulty), rng.randint(2, 14 + difficulty // 4)])
        lines = [f"job {i}: arrives at {a}, needs {w}" for i, (a, w) in enumerate(jobs, 1)]
        question = (
            f"A processor works on these jobs in turns of {turn} seconds (times in seconds):\n"
            + "\n".join(lines)
            + "\nWaiting jobs form a queue; the first one gets the processor for one turn, or less "
            "if it is done earlier; then the processor is free for the next one at once. A job "
            "that arrives joins the end of the queue. A job that is not done after its turn goes "
            "to the end of the queue; jobs that arrive during its turn, or at the very moment the "
            "turn ends, are in front of it. Jobs that arrive at the same time join in the order of "
            "their numbers. An idle processor starts a job the moment it arrives. When is each "
            "job finished?"
        )
        return question, {"turn": turn, "jobs": jobs}

    def solve(self, private: Private) -> str:
        """Turn by turn."""
        jobs = private["jobs"]
        coming = deque(sorted(range(len(jobs)), key=lambda i: (jobs[i][0], i)))
        left, done = [work for _, work in jobs], [0] * len(jobs)
        queue: deque[int] = deque()
        now = 0
        while coming or queue:
            if not queue:
                now = max(now, jobs[coming[0]][0])
                queue.append(coming.popleft())
                continue  # others may arrive at the same moment: they wait behind it anyway
            job = queue.popleft()
            used = min(private["turn"], left[job])
            now, left[job] = now + used, left[job] - used
            while coming and jobs[coming[0]][0] <= now:
                queue.append(coming.popleft())
            if left[job]:
                queue.append(job)
            else:
                done[job] = now
        return ", ".join(map(str, done))

    def judge(self, private: Private, answer: str) -> bool:
        """Second by second."""
        jobs, turn = private["jobs"], private["turn"]
        said = integers(answer, len(jobs))
        left, done = [work for _, work in jobs], [0] * len(jobs)
        queue: list[int] = []
        running, used, now = None, 0, 0
        while any(left) or running is not None:
            queue += [i for i, (arrival, _) in enumerate(jobs) if arrival == now]
            if running is not None and (left[running] == 0 or used == turn):
                if left[running]:
                    queue.append(running)
                else:
                    done[running] = now
                running = None
            if running is None and queue:
                running, used = queue.pop(0), 0
            if running is not None:
                left[running], used = left[running] - 1, used + 1
            now += 1
        return said == done

    def size(self, private: Private) -> float:
        return sum(work for _, work in private["jobs"])


class RewritingDerivation(Generator):
    """A way from one word to another by rules; every way that is short enough is right."""

    name, family = "rewriting_derivation", "programs"
    form = "all words of the way, one a line, from the first to the last,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        alphabet = rng.sample("abcdefghijklmnopqrstuvwxyz", 3)
        while True:
            rules: list[list[str]] = []
            while len(rules) < 4 + difficulty // 10:
                left, right = ("".join(rng.choice(alphabet) for _ in range(2)) for _ in range(2))
                if left != right and [left, right] not in rules:
                    rules.append([left, right])
            word = "".join(rng.choice(alphabet) for _ in range(7 + difficulty // 2))
            planted, steps = [word], 4 + difficulty // 2
            while len(planted) <= steps:
                following = sorted(self._following(planted[-1], rules) - set(planted))
                if not following:
                    break
                planted.append(rng.choice(following))
            if (
                len(planted) > steps
                and sum(a != b for a, b in zip(word, planted[-1], strict=True)) > 2
            ):
                break
        question = (
            "A word may be changed by these rules; a step replaces one occurrence of the left side "
            "of a rule, anywhere in the word, by its right side:\n"
            + "\n".join(f"{left} -> {right}" for left, right in rules)
            + f"\nFind a way from {word} to {planted[-1]} in at most {steps} steps. Any such way "
            "is accepted."
        )
        return question, {"rules": rules, "planted": planted, "steps": steps}

    @staticmethod
    def _following(word: str, rules: Sequence[Sequence[str]]) -> set[str]:
        return {
            word[:i] + right + word[i + len(left) :]
            for left, right in rules
            for i in range(len(word))
            if word.startswith(left, i)
        }

    def solve(self, private: Private) -> str:
        return "\n".join(private["planted"])

    def judge(self, private: Private, answer: str) -> bool:
        words = [letters(line).lower() for line in answer.splitlines() if line.strip()]
        if not words:
            raise Unparseable("lines with one word each were asked for")
        first, last = private["planted"][0], private["planted"][-1]
        if words[0] != first or words[-1] != last or len(words) > private["steps"] + 1:
            return False
        return all(b in self._following(a, private["rules"]) for a, b in pairwise(words))

    def size(self, private: Private) -> float:
        return private["steps"] * len(private["planted"][0])


class ShortestAcceptedWord(Generator):
    """A shortest word that two automata accept; every shortest one is right."""

    name, family = "shortest_accepted_word", "programs"
    form = "the word"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        states = 4 + difficulty // 3
        while True:
            tables = [
                [[rng.randrange(states) for _ in "ab"] for _ in range(states)] for _ in range(2)
            ]
            finals = [rng.randrange(1, states) for _ in range(2)]
            private = {"tables": tables, "finals": finals}
            word = self._shortest(private)
            if word is not None and len(word) >= 4:
                break
        lines = []
        for name, table, final in zip("PQ", tables, finals, strict=True):
            moves = "; ".join(f"{i}: a to {x}, b to {y}" for i, (x, y) in enumerate(table))
            lines.append(f"Automaton {name} accepts in state {final}. From state {moves}.")
        question = (
            "Two automata read a word of the letters a and b from left to right. Both start in "
            "state 0; each letter moves an automaton to the next state.\n"
            + "\n".join(lines)
            + "\nFind a shortest word after which both automata are in the state in which they "
            "accept. If there are several shortest words, any of them is accepted."
        )
        return question, private

    @staticmethod
    def _shortest(private: Private) -> str | None:
        """Breadth first over pairs of states."""
        p, q = private["tables"]
        goal = tuple(private["finals"])
        words, queue = {(0, 0): ""}, deque([(0, 0)])
        while queue:
            pair = queue.popleft()
            if pair == goal:
                return words[pair]
            for i, letter in enumerate("ab"):
                following = (p[pair[0]][i], q[pair[1]][i])
                if following not in words:
                    words[following] = words[pair] + letter
                    queue.append(following)
        return None

    def solve(self, private: Private) -> str:
        word = self._shortest(private)
        assert word is not None
        return word

    def judge(self, private: Private, answer: str) -> bool:
        """By running it, and by the sets of pairs that are reached with fewer letters."""
        said, (p, q), goal = letters(answer).lower(), private["tables"], tuple(private["finals"])
        if not set(said) <= set("ab") or len(said) > len(p) * len(q):
            return False
        x = y = 0
        reached = {(0, 0)}
        for letter in said:
            if goal in reached:
                return False
            reached = {(p[i][k], q[j][k]) for i, j in reached for k in range(2)}
            x, y = p[x]["ab".index(letter)], q[y]["ab".index(letter)]
        return (x, y) == goal

    def size(self, private: Private) -> float:
        return len(private["tables"][0])


GENERATORS: tuple[type[Generator], ...] = (
    AutomatonPredecessor,
    RoundRobinSchedule,
    RewritingDerivation,
    ShortestAcceptedWord,
)
