"""Expressions are read, never run, and no text makes reading them long."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest

from openzaya.envs.expressions import NotAnExpression, literal, number, symbolic, whole_numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [("1 + 2*3", 7), ("(1+2)*3", 9), ("2^3", 8), ("7/2", Fraction(7, 2)),
     ("0.1+0.2", Fraction(3, 10)), ("-(4 - 6) × 3", 6), ("8 ÷ 4", 2)],
)  # fmt: skip
def test_arithmetic_is_exact(text: str, value: Fraction) -> None:
    assert number(text) == value


ATTACKS = [
    "", "1 +", "x", "1; 2", "True", "'a'*3", "[1]", "f(1)", "1 if 1 else 2", "lambda: 1", "1/0",
    "9**9**9**9", "2**(10**6)", "1" * 20_000, "(" * 3000, "-" * 9000 + "1", "1_000", "٣+1",
    "().__class__", "__import__('os')", "abs(1)", "1//2", "5 % 3", "0**-1", "2**0.5",
    "(" + "9**900*" * 300 + "1)",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_everything_else_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(NotAnExpression):
        number(text)
    assert time.perf_counter() - started < 5


def test_texts_are_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    attack = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for read in (number, literal, lambda text: symbolic(text, {"x"})):
        with pytest.raises(NotAnExpression):
            read(attack)
    assert not mark.exists()
    eval(attack)  # control: this is what the libraries' scorers do
    assert mark.exists()


def test_whole_numbers_and_literals() -> None:
    assert sorted(whole_numbers("(3 + 3) * 12")) == [3, 3, 12]
    assert literal("[['a', 1], (2.5, None)]") == [["a", 1], (2.5, None)]
    with pytest.raises(NotAnExpression):
        whole_numbers("3.5 + 1")


def test_symbols() -> None:
    import sympy

    x = sympy.Symbol("x")
    assert symbolic("x^2*sin(2*x) + ln(x)/2", {"x"}) == x**2 * sympy.sin(2 * x) + sympy.log(x) / 2
    for text in ("y", "x.diff()", "factorial(10)", "x**(10**9)", "2**(9999*9999)", "sin(x, x)"):
        with pytest.raises(NotAnExpression):
            symbolic(text, {"x"})
