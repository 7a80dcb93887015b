"""Memory that a procedure changes: tapes, lists and tables."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers

Private = Mapping[str, Any]


class TuringMachine(Generator):
    """The tape of a small machine after some steps."""

    name, family = "turing_machine", "programs"
    form = (
        "the state, a semicolon, the position of the head, a semicolon, and the positions of all "
        "cells that hold 1, separated by commas (the word none if there are none),"
    )

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        names, steps = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: 3 + difficulty // 8], 10 + 3 * difficulty
        while True:
            table = {
                f"{state}{symbol}": [rng.randint(0, 1), rng.choice("LR"), rng.choice(names)]
                for state in names
                for symbol in "01"
            }
            tape = [rng.randint(0, 1) for _ in range(8 + difficulty)]
            start = rng.randrange(len(tape))
            private = {"table": table, "tape": tape, "start": start, "steps": steps}
            _, places, _ = self._run(private)
            turns = sum(a == c for a, c in zip(places, places[2:], strict=False))
            if len(set(places)) >= 5 and turns >= 2:  # no mere walk, no mere to and fro
                break
        lines = [
            f"state {key[0]}, reads {key[1]}: writes {write}, moves {move}, goes to state {state}"
            for key, (write, move, state) in sorted(table.items())
        ]
        question = (
            "A machine has a tape of cells numbered by all whole numbers. The cells from 0 to "
            f"{len(tape) - 1} hold {' '.join(map(str, tape))}, all others 0. Its head starts at "
            f"cell {start}, in state A. In each step it reads its cell, writes, moves (R to the "
            "cell with the next larger number, L to the next smaller one) and goes to a state, by "
            "these rules:\n"
            + "\n".join(lines)
            + f"\nWhat are state, position and tape after exactly {steps} steps?"
        )
        return question, private

    @staticmethod
    def _run(private: Private) -> tuple[list[int], list[int], str]:
        """(cells with 1, the places of the head, the last state), with the tape as a set."""
        ones = {i for i, symbol in enumerate(private["tape"]) if symbol}
        places, state = [private["start"]], "A"
        for _ in range(private["steps"]):
            at = places[-1]
            write, move, state = private["table"][f"{state}{int(at in ones)}"]
            (ones.add if write else ones.discard)(at)
            places.append(at + 1 if move == "R" else at - 1)
        return sorted(ones), places, state

    def solve(self, private: Private) -> str:
        ones, places, state = self._run(private)
        return f"{state}; {places[-1]}; {', '.join(map(str, ones)) or 'none'}"

    def judge(self, private: Private, answer: str) -> bool:
        """With the tape as two stacks, on the left and on the right of the head."""
        parts = [part.strip() for part in answer.split(";")]
        if len(parts) != 3 or not re.fullmatch(r"[A-Za-z]", parts[0]):
            raise Unparseable("state; position; cells were asked for")
        position = integers(parts[1], 1)
        cells = [] if parts[2].lower() == "none" else integers(parts[2])
        at, state = private["start"], "A"
        left, right = private["tape"][:at], private["tape"][at:][::-1]  # right ends below the head
        for _ in range(private["steps"]):
            symbol = right.pop() if right else 0
            write, move, state = private["table"][f"{state}{symbol}"]
            if move == "R":
                left.append(write)
                at += 1
            else:
                right += [write, left.pop() if left else 0]
                at -= 1
        tape = left + right[::-1]
        ones = [at - len(left) + i for i, symbol in enumerate(tape) if symbol]
        return parts[0].upper() == state and position == [at] and sorted(cells) == ones

    def size(self, private: Private) -> float:
        return private["steps"]


class ListEdits(Generator):
    """A list after reversals, rotations, exchanges and moves."""

    name, family = "list_edits", "programs"
    form = "the final list, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        length = 7 + difficulty // 2
        items = rng.sample(range(10, 100 + 10 * difficulty), length)
        steps = []
        for _ in range(4 + difficulty):
            i, j = sorted(rng.sample(range(1, length + 1), 2))
            kind = rng.choice(("reverse", "rotate", "swap", "move", "back"))
            steps.append([kind, max(i, 2) if kind == "rotate" else i, j])
        told = {
            "reverse": "Reverse the order of the items at places {i} to {j}.",
            "rotate": "Move the first {i} items to the end, in the same order.",
            "swap": "Exchange the items at places {i} and {j}.",
            "move": "Take the item at place {i} out and put it back so that it is at place {j}.",
            "back": "Take the item at place {j} out and put it back so that it is at place {i}.",
        }
        lines = [f"{n}. " + told[kind].format(i=i, j=j) for n, (kind, i, j) in enumerate(steps, 1)]
        question = (
            f"A list is given: {', '.join(map(str, items))}. Its places are numbered from 1. It is "
            "changed by these steps, one after the other:\n"
            + "\n".join(lines)
            + "\nWhat is the list in the end?"
        )
        return question, {"items": items, "steps": steps}

    def solve(self, private: Private) -> str:
        now = list(private["items"])
        for kind, i, j in private["steps"]:
            match kind:
                case "reverse":
                    now[i - 1 : j] = now[i - 1 : j][::-1]
                case "rotate":
                    now = now[i:] + now[:i]
                case "swap":
                    now[i - 1], now[j - 1] = now[j - 1], now[i - 1]
                case "move":
                    now.insert(j - 1, now.pop(i - 1))
                case _:
                    now.insert(i - 1, now.pop(j - 1))
        return ", ".join(map(str, now))

    def judge(self, private: Private, answer: str) -> bool:
        """Item by item: the place of each through all steps."""
        items = private["items"]
        said = integers(answer, len(items))
        for place, item in enumerate(items, 1):
            for kind, i, j in private["steps"]:
                if kind == "rotate":
                    place = (place - i - 1) % len(items) + 1
                elif i <= place <= j:
                    place = {
                        "reverse": i + j - place,
                        "swap": i + j - place if place in (i, j) else place,
                        "move": j if place == i else place - 1,
                        "back": i if place == j else place + 1,
                    }[kind]
            if said[place - 1] != item:
                return False
        return True

    def size(self, private: Private) -> float:
        return len(private["steps"])


class HashTableLayout(Generator):
    """Keys in a table with linear probing."""

    name, family = "hash_table_layout", "programs"
    form = "the table from cell 0 on, separated by commas, with - for an empty cell,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        cells = 7 + difficulty
        keys = rng.sample(range(10, 100 + 20 * difficulty), (4 * cells) // 5)
        factor = rng.choice([f for f in range(2, cells) if cells % f])
        question = (
            f"A table has {cells} cells, numbered from 0 to {cells - 1}, all empty. The keys "
            f"{', '.join(map(str, keys))} are put in, in this order. A key k is put into the cell "
            f"whose number is the remainder of {factor} * k on division by {cells}; if that cell "
            "is taken, into the first free cell behind it, where cell 0 follows the last cell. "
            "What does the table look like in the end?"
        )
        return question, {"cells": cells, "factor": factor, "keys": keys}

    def solve(self, private: Private) -> str:
        table: list[int | None] = [None] * private["cells"]
        for key in private["keys"]:
            at = private["factor"] * key % private["cells"]
            while table[at] is not None:
                at = (at + 1) % private["cells"]
            table[at] = key
        return ", ".join("-" if key is None else str(key) for key in table)

    def judge(self, private: Private, answer: str) -> bool:
        """By what must hold: from a key's own cell up to where it is, only older keys stand."""
        parts = [part for part in re.split(r"[,\s]+", answer.strip().strip("[]")) if part]
        if not parts or not all(re.fullmatch(r"-|[0-9]{1,12}", part) for part in parts):
            raise Unparseable("numbers and - for empty cells were asked for")
        keys, cells = private["keys"], private["cells"]
        if len(parts) != cells or parts.count("-") != cells - len(keys):
            return False
        age = {key: i for i, key in enumerate(keys)}
        table = [None if part == "-" else age.get(int(part), -1) for part in parts]
        if sorted(i for i in table if i is not None) != list(range(len(keys))):
            return False
        for at, mine in enumerate(table):
            if mine is not None:
                home = private["factor"] * keys[mine] % cells
                between = [table[(home + i) % cells] for i in range((at - home) % cells)]
                if any(other is None or other > mine for other in between):
                    return False
        return True

    def size(self, private: Private) -> float:
        return private["cells"]


GENERATORS: tuple[type[Generator], ...] = (TuringMachine, ListEdits, HashTableLayout)
