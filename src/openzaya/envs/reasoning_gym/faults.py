"""What is wrong in reasoning-gym 0.1.25, as measured by `zaya envs admit`, and what we do about it.

REFUSED tasks cannot be mended from outside; MENDED scorers are replaced by those below, which
`served` calls in place of the library's own. Where theirs evaluates a model's text as Python
(`eval`, or sympy's parser, which is `eval`), ours reads it with `openzaya.envs.expressions`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from openzaya.envs.expressions import NotAnExpression, number, symbolic, whole_numbers

REFUSED: dict[str, str] = {
    "composite": "it is a mixture of other tasks, not a task",
    "boxnet": "it stores no answer and has no solver, so nothing shows that a problem is solvable",
    "propositional_logic": "any premise, repeated, is a full score",
    "syllogism": "'Yes' is right in three of four problems",
}
"""Task to the reason; `build` says it."""

EVALS_ANSWERS = ("string_insertion", "spiral_matrix", "binary_matrix", "n_queens")
"""Modules whose scorers call eval() on the answer; there the name stands for `literal`."""

HIGHEST: dict[str, int] = {
    "jugs": 1,
    "number_sequence": 1,
    "zebra_puzzles": 2,
    "tower_of_hanoi": 2,
    "arc_agi": 0,
}
"""Last useful level: beyond it the first three take seconds to minutes for a problem, the next asks
for more than a hundred thousand characters, and the last is as hard as before."""

ONE_LEVEL = ("knight_swap", "sokoban")
"""Curricula whose configurations hardly ever have a puzzle: the task's defaults instead."""

UNSOLVED: dict[str, str] = {"intermediate_integration": "Integral(", "jugs": "No solution"}
"""In stored answers of problems that the task's own solver could not solve: these are left out."""

SIZES: dict[str, int] = {
    "acre": 2000, "gsm_symbolic": 100_000, "list_functions": 100_000, "word_ladder": 20_000,
}  # fmt: skip
"""Sets that draw all their problems, or refuse to be large, when they are made."""

TUPLES = ("arc_agi", "rearc")
"""Scorers that compare the answer with a tuple of tuples, which JSON returns as lists."""

Entry = Mapping[str, Any]


def _exactly(answer: str, entry: Entry) -> float:
    """Theirs gives full credit to a right beginning, whatever follows."""
    return float(answer.strip().lower() == entry["answer"].strip().lower())


def _sorted_words(answer: str, entry: Entry) -> float:
    words = [word.strip() for word in answer.split(",")]
    return float(words == entry["metadata"]["sorted_words"])


def _halting(answer: str, entry: Entry) -> float:
    """Theirs takes bool() of the text: any answer at all was right."""
    return float(answer.strip().strip(".").lower() == str(entry["answer"]).lower())


def _factors(answer: str, entry: Entry) -> float:
    """Theirs raises where a factor is no whole number."""
    parts = [p.strip() for p in answer.replace("*", "×").replace("\\times", "×").split("×")]
    if not all(p.isascii() and p.isdigit() and len(p) < 1000 for p in parts):
        raise NotAnExpression("whole numbers separated by × were asked for")
    return float(sorted(map(int, parts)) == sorted(entry["metadata"]["factors"]))


def _makes(answer: str, numbers: list[int], target: int) -> float:
    right = sorted(whole_numbers(answer)) == sorted(numbers)
    return float(right and number(answer) == Fraction(target))


def _puzzle24(answer: str, entry: Entry) -> float:
    """Theirs never looks which numbers were given, and rounds: 1*4*6*1 solved every problem."""
    return _makes(answer, entry["metadata"]["numbers"], 24)


def _countdown(answer: str, entry: Entry) -> float:
    return _makes(answer, entry["metadata"]["numbers"], entry["metadata"]["target"])


def _integral(answer: str, entry: Entry) -> float:
    """Whether the derivative is the integrand: points refute it, algebra proves it."""
    import sympy

    name = entry["metadata"]["variable"]
    x = sympy.Symbol(name)
    claimed = sympy.diff(symbolic(answer.split("=")[-1], {name, "C"}), x)
    wanted = symbolic(entry["metadata"]["integrand"], {name})
    gap = claimed - wanted
    if sympy.Symbol("C") in gap.free_symbols:
        return 0.0
    for point in (0.37, 1.23, 2.71):
        value = complex(gap.subs(x, point).evalf())
        size = abs(complex(wanted.subs(x, point).evalf()))
        if not abs(value) <= 1e-8 * (1.0 + size):  # also where there is no value
            return 0.0
    return float(sympy.expand(gap) == 0 or sympy.simplify(gap) == 0)


def _polynomial(answer: str, entry: Entry) -> float:
    """Equal as written: an unexpanded product is the question, not its answer."""
    names = set(entry["metadata"]["variables"]) or {"x"}
    return float(symbolic(answer, names) == symbolic(entry["answer"], names))


def _cube(answer: str, entry: Entry) -> float:
    """Theirs expands R999999999 into as many moves."""
    from magiccube.cube import Cube

    moves: list[str] = []
    for move in answer.split():
        base = move.rstrip("0123456789")
        times = move[len(base) :] or "1"
        if len(times) > 2 or len(moves) > 1000:
            raise NotAnExpression("more moves than a cube ever needs")
        moves += [base] * int(times)
    cube = Cube(entry["metadata"]["cube_size"])
    cube.rotate(entry["metadata"]["scramble_moves"])
    cube.rotate(" ".join(moves))
    return float(cube.is_done())


def _probability(answer: str, entry: Entry) -> float:
    """Theirs gives full credit to a common beginning: "0" was right nearly always."""
    if not re.fullmatch(
        r"[0-9]{1,50}(/[0-9]{1,50}|\.[0-9]{1,50}(e-?[0-9]{1,3})?)?", answer.strip()
    ):
        raise NotAnExpression("a probability was asked for")
    wanted = Fraction(entry["answer"])
    return float(abs(Fraction(answer.strip()) - wanted) <= wanted / 10_000)


def _freed(answer: str, entry: Entry) -> float:
    """Theirs passes over illegal moves, so that all moves tried at random are a solution."""
    from reasoning_gym.games.rush_hour import Board

    if not re.fullmatch(r"([A-Z][+-][1-6][ ,]*){1,500}", answer.strip()):
        raise NotAnExpression("moves like F+1 were asked for")
    board = Board(entry["metadata"]["board_config"])
    for letter, steps in re.findall(r"([A-Z])([+-][1-6])", answer):
        if ord(letter) - ord("A") >= len(board._pieces):
            return 0.0
        piece = board._pieces[ord(letter) - ord("A")]
        place = piece.position + piece.stride * int(steps)
        board.move(letter, int(steps))
        if piece.position != place:
            return 0.0
    return float(board.solved)


FORMS: dict[str, str] = {
    "advanced_geometry": r"\(?\s*-?[0-9./]+\s*,\s*-?[0-9./]+\s*\)?|-?[0-9.]+\s*°?",
    "sokoban": r"[UDLR]+",
    "gsm_symbolic": r"\$?-?[0-9][0-9,]*(\.[0-9]+)?%?",
    "time_intervals": r"(-?[0-9]+ days?)?(, )?([0-9]+:[0-9]+(:[0-9]+(\.[0-9]+)?)?)?|-?[0-9]+",
}
"""Where theirs picks what it needs out of a text: what an answer must look like as a whole."""

MENDED: dict[str, Callable[[str, Entry], float]] = {
    "game_of_life_halting": _halting,
    "prime_factorization": _factors,
    "puzzle24": _puzzle24,
    "countdown": _countdown,
    "simple_integration": _integral,
    "intermediate_integration": _integral,
    "polynomial_multiplication": _polynomial,
    "rubiks_cube": _cube,
    "rush_hour": _freed,
    "coin_flip": _probability,
    "letter_jumble": _exactly,
    "word_sorting": _sorted_words,
}
"""Task to (answer, entry) -> credit in [0, 1]."""
