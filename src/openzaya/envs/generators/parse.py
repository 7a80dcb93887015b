"""Answers as values. Strict: one value of the asked form and nothing beside it, in ASCII.

Python's own `int` takes Arabic-Indic digits, underscores and four thousand characters; a list of
every possible answer must not hold the right one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

# Python turns no more than 4300 digits into a number.
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_PAIR = re.compile(r"[(\[]? ?([0-9]{1,9}) ?[-, ] ?([0-9]{1,9}) ?[)\]]?(?:[,;] ?| |$)")
_RATIONAL = re.compile(r"([+-]?[0-9]{1,4000})(?:\s*/\s*([0-9]{1,4000})|\.([0-9]{1,4000}))?")


class Unparseable(Exception):
    """The text has not the form that was asked for; says what was expected."""


def integer(text: str) -> int:
    """One whole number; thousands may be parted by commas."""
    plain = text.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,3}(,[0-9]{3})+", plain):
        plain = plain.replace(",", "")
    if not _INTEGER.fullmatch(plain):
        raise Unparseable("a whole number was asked for")
    return int(plain)


def integers(text: str, count: int | None = None) -> list[int]:
    """Whole numbers parted by commas or white space, maybe in brackets; `count` of them."""
    parts = [p for p in re.split(r"[,\s]+", _bare(text)) if p]
    if not all(_INTEGER.fullmatch(p) for p in parts):
        raise Unparseable("whole numbers were asked for")
    if count is not None and len(parts) != count:
        raise Unparseable(f"{count} whole numbers were asked for, {len(parts)} given")
    return [int(p) for p in parts]


def rational(text: str) -> Fraction:
    """One number as 3, -3/4 or 0.75."""
    match = _RATIONAL.fullmatch(text.strip())
    if match is None:
        raise Unparseable("a number or a fraction was asked for")
    whole, below, decimals = match.groups()
    if below is not None:
        if int(below) == 0:
            raise Unparseable("a denominator is 0")
        return Fraction(int(whole), int(below))
    return Fraction(f"{whole}.{decimals}") if decimals else Fraction(int(whole))


def rationals(text: str, count: int) -> list[Fraction]:
    """`count` numbers as in `rational`, parted by commas or, without any comma, by white space."""
    plain = _bare(text)
    parts = plain.split(",") if "," in plain else plain.split()
    if len(parts) != count:
        raise Unparseable(f"{count} numbers were asked for, {len(parts)} given")
    return [rational(part) for part in parts]


def _bare(text: str) -> str:
    """`text` without white space and one pair of brackets around it."""
    plain = text.strip()
    return plain[1:-1] if plain[:1] + plain[-1:] in ("[]", "()", "{}") else plain


def word(text: str, allowed: Sequence[str]) -> str:
    """One of `allowed`, whatever its case."""
    plain = text.strip().strip(".").lower()
    for candidate in allowed:
        if plain == candidate.lower():
            return candidate
    raise Unparseable(f"one of {', '.join(allowed)} was asked for")


def letters(text: str) -> str:
    """One word of ASCII letters, in quotes or not."""
    plain = text.strip().strip("\"'")
    if not re.fullmatch(r"[A-Za-z]{1,10000}", plain):
        raise Unparseable("one word was asked for")
    return plain


def rows(text: str, height: int, width: int) -> list[list[str]]:
    """A grid: `height` lines of `width` cells, parted by spaces or written together."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    cells = [line.split() if " " in line else list(line) for line in lines]
    if len(cells) != height or any(len(row) != width for row in cells):
        raise Unparseable(f"a grid of {height} lines with {width} cells was asked for")
    return cells


def picks(text: str, count: int) -> list[int]:
    """One or more different numbers from 1 to `count`, in the order given."""
    chosen = integers(text)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 1 or max(chosen) > count:
        raise Unparseable(f"different numbers from 1 to {count} were asked for")
    return chosen


def pairs(text: str) -> list[tuple[int, int]]:
    """One or more pairs of numbers, as 1-2, 3-4 or as (1, 2), (3, 4)."""
    plain = " ".join(text.split())
    if plain[:2] in ("[(", "[[", "{(") and plain[-2:] in (")]", "]]", ")}"):
        plain = plain[1:-1]
    found, end = [], 0
    while end < len(plain):
        match = _PAIR.match(plain, end)
        if match is None:
            break
        found.append((int(match[1]), int(match[2])))
        end = match.end()
    if not found or end < len(plain):
        raise Unparseable("pairs such as 1-2, 3-4 were asked for")
    return found


def groups(text: str) -> list[list[int]]:
    """Lists of whole numbers, one a line or parted by semicolons; none is empty."""
    parts = [part for part in re.split(r"[;\n]", text) if part.strip()]
    found = [integers(part) for part in parts]
    if not found or not all(found):
        raise Unparseable("lists of whole numbers were asked for")
    return found


def digit_rows(text: str, height: int, width: int) -> list[list[int]]:
    """`rows` whose cells are numbers of up to four digits."""
    cells = rows(text, height, width)
    if not all(re.fullmatch(r"[0-9]{1,4}", cell) for row in cells for cell in row):
        raise Unparseable("every cell must be a number")
    return [[int(cell) for cell in row] for row in cells]
