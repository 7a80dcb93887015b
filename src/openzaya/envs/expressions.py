"""Expressions that a model wrote, read without `eval`: a whitelist over Python's own syntax tree.

`number` gives an exact value of +, -, *, / and brackets; `symbolic` gives a sympy expression. Both
raise NotAnExpression for everything else, and for sizes at which reading alone would be an attack
(`9**9**9` is nine characters).
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any

LONGEST = 10_000
"""Characters of an expression."""
LARGEST_EXPONENT = 1000
_BITS = 20_000


class NotAnExpression(ValueError):
    """The text is no expression of the allowed form; says why."""


def literal(text: str) -> Any:
    """A Python literal: numbers, texts, lists and so on. What foreign scorers get for `eval`."""
    if len(text) > 100_000:
        raise NotAnExpression(f"{len(text)} characters")
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError, ValueError) as error:
        raise NotAnExpression(str(error)[:100]) from None


def number(text: str) -> Fraction:
    """The exact value of an arithmetic expression of whole numbers and decimals."""
    return _walk(_tree(text), _exact, _no_name, _no_call)


def whole_numbers(text: str) -> list[int]:
    """The whole numbers that an arithmetic expression is made of, in no order."""
    found = [n.value for n in ast.walk(_tree(text)) if isinstance(n, ast.Constant)]
    whole = [value for value in found if isinstance(value, int) and type(value) is not bool]
    if len(whole) < len(found):
        raise NotAnExpression("only whole numbers are allowed here")
    return whole


def symbolic(text: str, names: Collection[str]) -> Any:
    """A sympy expression in the symbols `names`, with the elementary functions, pi and E."""
    import sympy

    functions: dict[str, Callable[..., Any]] = {
        n: getattr(sympy, n)
        for n in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp", "log",
                  "sqrt", "asin", "acos", "atan", "asinh", "acosh", "atanh", "Abs", "erf")
    } | {"ln": sympy.log, "abs": sympy.Abs, "arcsin": sympy.asin, "arccos": sympy.acos,
         "arctan": sympy.atan}  # fmt: skip
    constants = {"pi": sympy.pi, "E": sympy.E, "e": sympy.E}

    def named(name: str) -> Any:
        if name in names:
            return sympy.Symbol(name)
        if name in constants:
            return constants[name]
        raise NotAnExpression(f"{name!r} stands for nothing here")

    def called(name: str, arguments: list[Any]) -> Any:
        if name not in functions or len(arguments) != 1:
            raise NotAnExpression(f"{name}() is not one of the functions")
        return functions[name](*arguments)

    return _walk(_tree(text), lambda value: sympy.Rational(str(value)), named, called)


def _tree(text: str) -> ast.expr:
    plain = text.strip().replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-")
    plain = plain.replace("·", "*")
    if len(plain) > LONGEST:
        raise NotAnExpression(f"{len(plain)} characters, {LONGEST} are allowed")
    if re.search(r"\d_|_\d", plain) or not plain.isascii():
        raise NotAnExpression("only plain ASCII numbers are allowed")
    try:
        return ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise NotAnExpression("this cannot be read as an expression") from None


def _exact(value: int | float) -> Fraction:
    return Fraction(str(value))


def _no_name(name: str) -> Any:
    raise NotAnExpression(f"{name!r} stands for nothing here")


def _no_call(name: str, arguments: list[Any]) -> Any:
    raise NotAnExpression("no functions are allowed here")


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def _walk(
    node: ast.expr,
    value_of: Callable[[int | float], Any],
    named: Callable[[str], Any],
    called: Callable[[str, list[Any]], Any],
) -> Any:
    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as constant) if type(constant) is not bool:
                if abs(constant) > 10**300:
                    raise NotAnExpression("a number is too large")
                return value_of(constant)
            case ast.Name(id=name):
                return named(name)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -value(inner)
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return value(inner)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return _power(value(left), value(right))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _bounded(_BINARY[type(op)](value(left), value(right)))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return called(name, [value(argument) for argument in arguments])
        raise NotAnExpression(f"{type(node).__name__} is not allowed here")

    try:
        return value(node)
    except ZeroDivisionError:
        raise NotAnExpression("a division by zero") from None
    except RecursionError:
        raise NotAnExpression("too deeply nested") from None


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, Fraction):
        if exponent.denominator != 1:
            raise NotAnExpression("a power must be a whole number here")
        if abs(exponent) * max(base.numerator.bit_length(), base.denominator.bit_length()) > _BITS:
            raise NotAnExpression("a power is too large")
        return base ** int(exponent)
    if exponent.is_number and abs(exponent) > LARGEST_EXPONENT:
        raise NotAnExpression("an exponent is too large")
    if base.is_number and exponent.is_number and abs(exponent * base) > _BITS:
        raise NotAnExpression("a power is too large")
    return base**exponent


def _bounded(value: Any) -> Any:
    if isinstance(value, Fraction):
        bits = max(value.numerator.bit_length(), value.denominator.bit_length())
        if bits > 4 * _BITS:
            raise NotAnExpression("a number is too large")
    return value
