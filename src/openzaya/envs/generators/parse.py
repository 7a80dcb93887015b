"""Answers as values. Strict: one value of the asked form and nothing beside it, in ASCII.

Python's own `int` takes Arabic-Indic digits, underscores and four thousand characters; a list of
every possible answer must not hold the right one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}")
_RATIONAL = re.compile(r"([+-]?[0-9]{1,500})(?:\s*/\s*([0-9]{1,500})|\.([0-9]{1,500}))?")


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
    """Whole numbers parted by commas or white space, maybe in brackets; `count` of them if given."""
    plain = text.strip()
    if plain[:1] + plain[-1:] in ("[]", "()", "{}"):
        plain = plain[1:-1]
    parts = [p for p in re.split(r"[,\s]+", plain) if p]
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
