"""Solutions for the tasks that reasoning-gym stores no answer for."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

Entry = Mapping[str, Any]
_SIDE = 6


def _coloring(entry: Entry) -> str:
    return json.dumps({str(v): c for v, c in entry["metadata"]["possible_answer"].items()})


def _unscrambled(entry: Entry) -> str:
    """The scramble backwards. A move is a face, maybe with ' for the other way, maybe with 2."""
    moves = reversed(entry["metadata"]["scramble_moves"].split())
    return " ".join(m[:-1] if m.endswith("'") else m if m.endswith("2") else f"{m}'" for m in moves)


def _unjammed(entry: Entry) -> str:
    """A shortest sequence of slides that frees the red car, breadth first over the positions.

    The board that is shown names the cars A, B, C .. in the order of the stored names."""
    board = entry["metadata"]["board_config"]
    cars: dict[str, list[int]] = {}
    for place, letter in enumerate(board):
        if letter.isupper():
            cars.setdefault(letter, []).append(place)
    walls = frozenset(place for place, letter in enumerate(board) if letter == "x")
    names = sorted(cars)
    stride = {name: cars[name][1] - cars[name][0] for name in names}
    length = {name: len(cars[name]) for name in names}
    goal = 2 * _SIDE + _SIDE - 2
    start = tuple(cars[name][0] for name in names)
    came: dict[tuple[int, ...], tuple[tuple[int, ...], str] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if state[names.index("A")] == goal:
            return _moves(came, state)
        taken = set(walls)
        for name, first in zip(names, state, strict=True):
            taken.update(range(first, first + length[name] * stride[name], stride[name]))
        for i, name in enumerate(names):
            for sign in (-1, 1):
                for steps in range(1, _SIDE):
                    head = state[i] + sign * steps * stride[name]
                    front = head if sign < 0 else head + (length[name] - 1) * stride[name]
                    before = front - sign * stride[name]
                    leaves = stride[name] == 1 and front // _SIDE != before // _SIDE
                    if not 0 <= front < _SIDE * _SIDE or leaves or front in taken:
                        break
                    after = (*state[:i], head, *state[i + 1 :])
                    if after not in came:
                        came[after] = (state, f"{chr(65 + i)}{sign * steps:+d}")
                        queue.append(after)
    raise ValueError("the red car cannot leave")


def _moves(came: Mapping[Any, Any], state: Any) -> str:
    moves = []
    while came[state] is not None:
        state, move = came[state]
        moves.append(move)
    return " ".join(reversed(moves))


SOLVED: dict[str, Callable[[Entry], str]] = {
    "graph_color": _coloring,
    "rubiks_cube": _unscrambled,
    "rush_hour": _unjammed,
}
