"""How arguments and results of a function are written as standard input and output.

Derived from the types, so that a problem of the bank is one for programs in any language as well:

int: a line. bool: yes or no. str: a line. list[int]: its length, then the numbers on one line.
list[str]: its length, then each on a line. list[list[int]]: its length, then each row on a line,
its own length in front. Results are written in the same way, but without lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TYPES = ("int", "bool", "str", "list[int]", "list[str]", "list[list[int]]")
WORDS = {
    "int": "an integer on a line",
    "bool": "yes or no on a line",
    "str": "a string on a line, possibly empty",
    "list[int]": "a line with the number of integers, then a line with them, parted by spaces",
    "list[str]": "a line with the number of strings, then each string on a line",
    "list[list[int]]": "a line with the number of rows, then for each row its length and "
    "its integers on a line",
}
RESULT_WORDS = {
    **{t: WORDS[t] for t in ("int", "bool", "str")},
    "list[int]": "the integers on one line, parted by spaces",
    "list[str]": "each string on a line",
    "list[list[int]]": "each row on a line",
}


def write_input(types: Sequence[str], args: Sequence[Any]) -> str:
    """Standard input for `args`."""
    return "".join(_input(t, a) for t, a in zip(types, args, strict=True))


def write_output(kind: str, value: Any) -> str:
    """Standard output for a result."""
    if kind == "list[int]":
        return " ".join(map(str, value)) + "\n"
    if kind == "list[str]":
        return "".join(f"{v}\n" for v in value)
    if kind == "list[list[int]]":
        return "".join(" ".join(map(str, row)) + "\n" for row in value)
    return ("yes" if value else "no") + "\n" if kind == "bool" else f"{value}\n"


def _input(kind: str, value: Any) -> str:
    if kind == "list[int]":
        return f"{len(value)}\n{' '.join(map(str, value))}\n"
    if kind == "list[str]":
        return f"{len(value)}\n" + "".join(f"{v}\n" for v in value)
    if kind == "list[list[int]]":
        return f"{len(value)}\n" + "".join(" ".join(map(str, [len(r), *r])) + "\n" for r in value)
    return write_output(kind, value)


def fits(kind: str, value: Any) -> bool:
    """Whether `value` is exactly of this type: no bool for an int, no tuple for a list."""
    if kind == "list[list[int]]":
        return type(value) is list and all(fits("list[int]", v) for v in value)
    if kind.startswith("list["):
        return type(value) is list and all(fits(kind[5:-1], v) for v in value)
    return type(value) is {"int": int, "bool": bool, "str": str}[kind]
