"""Whether a run gave the expected answer. Only here is anything expected, and only we run here.

Values come decoded from plain data, so that equality is Python's own between builtins; text is
compared as bytes, so that no digit of another script stands for one of ours.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from openzaya.envs.sandbox import Run, Status

Comparison = Literal["equal", "exact", "close", "tokens"]
"""equal: Python's ==. exact: and of the same types. close: numbers within 1e-6, relative or
absolute. tokens: standard output, word by word, numbers with a decimal point within 1e-6."""
TOLERANCE = 1e-6
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,400}\.[0-9]{1,400}(?:[eE][+-]?[0-9]{1,4})?")


def agrees(expected: Any, run: Run, comparison: Comparison) -> bool:
    """Whether `run` ended well and gave what was expected."""
    if run.status is not Status.OK:
        return False
    if comparison == "tokens":
        return same_tokens(expected.encode() if isinstance(expected, str) else expected, run.stdout)
    return run.returned and same(expected, run.value, comparison)


def same(expected: Any, got: Any, comparison: Comparison) -> bool:
    try:
        if comparison == "exact":
            return exactly(expected, got)
        return closely(expected, got) if comparison == "close" else bool(expected == got)
    except (RecursionError, OverflowError):
        return False


def exactly(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(exactly, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(exactly(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


def closely(a: Any, b: Any) -> bool:
    """Equal but for the last digits of numbers, in lists and tuples too."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(closely, a, b))
    if isinstance(a, float):
        number = isinstance(b, int | float) and not isinstance(b, bool)
        return number and (a == b or abs(a - b) <= TOLERANCE * max(1.0, abs(a)))
    return bool(a == b)


def same_tokens(expected: bytes, got: bytes) -> bool:
    left, right = expected.split(), got.split()
    return len(left) == len(right) and all(map(_same_token, left, right))


def _same_token(a: bytes, b: bytes) -> bool:
    if a == b:
        return True
    if not (_DECIMAL.fullmatch(a) and re.fullmatch(rb"[0-9.eE+-]{1,800}", b)):
        return False
    try:
        return closely(float(a), float(b))
    except ValueError:
        return False
