r"""Whether an answer equals the right one, as mathematics: 0.5 is \frac{1}{2}, {1, 2} is {2, 1}.

Cheap and exact first: equal texts, then plain numbers as fractions. The rest is math-verify's
(sympy), in processes that are killed when they take too long; sets of 9^{9^{9}} cost nothing.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from fractions import Fraction

from openzaya.answers import last_boxed, last_tagged
from openzaya.envs.workers import CallFailed, CallTimeout, WorkerPool
from openzaya.types import Outcome, Score

LONGEST = 1000
"""Characters of an answer; the longest of competition sets has about 200."""
SECONDS = 3.0
"""What sympy may take; honest answers take about a tenth."""
CACHED = 20_000

_NUMBER = re.compile(r"([+-]?)(\d{1,400})(?:\.(\d{1,400}))?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_FRACTION = re.compile(
    r"([+-]?)\\[dt]?frac\{?([+-]?\d{1,400})\}?\{?(\d{1,400})\}?|([+-]?)(\d{1,400})/(\d{1,400})"
)
_TOWER = re.compile(
    r"\d\s*\)?\s*(?:\^|\*\*)[\s{(]*\d+[\s)}]*(?:\^|\*\*|!)|(?:\^|\*\*)[\s{(]*\d{5}|\d{4}\s*!|!\s*!"
)
_SAID = re.compile(r"####\s*(.+)")
_cache: OrderedDict[tuple[str, str], Score] = OrderedDict()


@functools.cache
def pool() -> WorkerPool:
    """The processes in which sympy lives."""
    return WorkerPool("openzaya.envs.math.served", memory_mb=2048)


def extract(text: str) -> tuple[str | None, bool]:
    r"""(the answer, whether it was marked): last \boxed{}, tag or `####`, else a short text."""
    for found in (last_boxed(text), last_tagged(text)):
        if found:
            return found, True
    if said := _SAID.findall(text):
        return said[-1].strip(), True
    plain = text.strip()
    return (plain if plain and len(plain) <= 200 else None), False


def verify(gold: str, text: str | None) -> Score:
    """Judge what a model wrote behind its think block against the answer `gold`. Never raises."""
    if text is None:
        return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
    answer, marked = extract(text)
    if answer is None:
        return Score(0.0, Outcome.UNPARSEABLE, False, "no \\boxed{}")
    if len(answer) > LONGEST:
        return Score(0.0, Outcome.UNPARSEABLE, marked, f"{len(answer)} characters")
    key = (gold, answer)
    if (known := _cache.get(key)) is None:
        known = _judge(tidy(gold), tidy(answer))
        if known.outcome not in (Outcome.TIMEOUT, Outcome.VERIFIER_ERROR):
            _cache[key] = known
            while len(_cache) > CACHED:
                _cache.popitem(last=False)
    return Score(known.reward, known.outcome, marked, known.reason)


def _judge(gold: str, answer: str) -> Score:
    if gold.replace(" ", "") == answer.replace(" ", ""):
        return Score(1.0, Outcome.CORRECT)
    numbers = plain_number(gold), plain_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return _verdict(numbers[0] == numbers[1])
    if _TOWER.search(answer):
        return Score(0.0, Outcome.UNPARSEABLE, reason="a power or factorial too large to compute")
    try:
        reply = pool().call("equal", timeout=SECONDS, gold=gold, answer=answer)
    except CallTimeout as error:
        return Score(0.0, Outcome.TIMEOUT, reason=str(error))
    except CallFailed as error:
        if "died" in str(error):
            return Score(0.0, Outcome.VERIFIER_ERROR, reason=str(error))
        return Score(0.0, Outcome.UNPARSEABLE, reason=str(error))
    if reply.get("unread") == "gold":
        return Score(0.0, Outcome.VERIFIER_ERROR, reason="the stored answer is no mathematics")
    if "unread" in reply:
        return Score(0.0, Outcome.UNPARSEABLE, reason="this is no mathematics")
    return _verdict(reply["equal"])


def _verdict(right: bool) -> Score:
    return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)


def tidy(text: str) -> str:
    """Without dollar signs, display marks, spaces of typesetting and a full stop at the end."""
    plain = text.strip()
    for left, right in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if plain.startswith(left) and plain.endswith(right) and len(plain) > len(left + right):
            plain = plain[len(left) : -len(right)].strip()
    for mark in ("\\left", "\\right", "\\,", "\\!", "\\;", "\\displaystyle", "\\$"):
        plain = plain.replace(mark + " ", " ").replace(mark, "")
    return plain.rstrip(".").strip()


def plain_number(text: str) -> Fraction | None:
    """The exact value of an integer, a decimal or a fraction, written plainly or in LaTeX."""
    plain = text.replace(" ", "").replace("{,}", ",").replace("−", "-")
    if not plain.isascii():
        return None
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    if match := _NUMBER.fullmatch(plain):
        sign, whole, decimals = match.groups()
        return Fraction(f"{sign}{whole}.{decimals or 0}")
    if match := _FRACTION.fullmatch(plain):
        sign, above, below = match.groups()[:3] if match[3] else match.groups()[3:]
        if int(below):
            return Fraction(int(above), int(below)) * (-1 if sign == "-" else 1)
    return None
