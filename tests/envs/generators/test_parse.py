"""Answers as values: the asked form in plain ASCII, and nothing else."""

from __future__ import annotations

from fractions import Fraction

import pytest

from openzaya.envs.generators.parse import (
    Unparseable,
    integer,
    integers,
    letters,
    rational,
    rationals,
    rows,
    word,
)


def test_what_is_read() -> None:
    assert integer(" -12 ") == -12 and integer("1,234,567") == 1234567 and integer("+5") == 5
    assert integers("[1, -2, 3]", 3) == integers("1 -2 3") == integers("(1,-2,\n3)") == [1, -2, 3]
    assert rational("3") == 3 and rational("-6/4") == Fraction(-3, 2)
    assert rational("0.75") == rational("3 / 4") == Fraction(3, 4)
    assert rationals("1/2, -3, 0.5", 3) == rationals("1/2 -3 0.5", 3) == [Fraction(1, 2), -3, 0.5]
    assert word("YES.", ["yes", "no"]) == "yes"
    assert letters("'abc'") == "abc"
    assert rows("12\n34", 2, 2) == rows("1 2\n\n3 4", 2, 2) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "1.0", "1e3", "0x1", "1_000", "1,23", "--1", "1 2", "٣", "１", "²", "½", "1/1",
     "True", "1" * 4001, "= 1", "1."],
)  # fmt: skip
def test_no_whole_number(text: str) -> None:
    with pytest.raises(Unparseable):
        integer(text)


@pytest.mark.parametrize(
    "text", ["", "1/0", "1/-2", "1/2/3", ".5", "5.", "1e3", "inf", "nan", "٣/٤", "1/" + "9" * 4001]
)
def test_no_number(text: str) -> None:
    with pytest.raises(Unparseable):
        rational(text)


def test_counts_and_kinds_matter() -> None:
    for broken in ("1, 2", "1, 2, 3, 4", "1, 2, x", "1; 2; 3", "1, 2, 3/1"):
        with pytest.raises(Unparseable):
            integers(broken, 3)
    with pytest.raises(Unparseable):
        rationals("1/2, 3", 3)
    with pytest.raises(Unparseable):
        word("yes and no", ["yes", "no"])
    for broken in ("", "ab cd", "ä", "a1", "a" * 10_001):
        with pytest.raises(Unparseable):
            letters(broken)
    with pytest.raises(Unparseable):
        rows("12\n3", 2, 2)


def test_long_numbers_are_read_fast() -> None:
    """Up to what Python itself converts; the longest is 4000 digits."""
    assert rational("9" * 4000 + "." + "9" * 4000).denominator == 10**4000
    assert integers("7 " * 40_000) == [7] * 40_000
