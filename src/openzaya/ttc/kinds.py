r"""Kinds of task: where the answer stands in a response, and when two answers are one.

Normalising is for votes alone, and cautious: answers that it calls equal are equal. Whether one is
right is a verifier's matter.
"""

from __future__ import annotations

import re
import textwrap
from fractions import Fraction

from openzaya.answers import choice, final_answer, last_boxed, last_code, last_tagged
from openzaya.config.rsa import Kind

UNMARKED = 48
"""Characters up to which a response without a mark is itself the answer (math)."""
FORMS: dict[Kind, str] = {
    "math": "Give the final answer in \\boxed{}.",
    "choice": "Give the letter of the right option in \\boxed{}.",
    "code": "Give the whole program in one fenced code block.",
    "free": "",
    "puzzle": "Give the final answer in <answer></answer>.",
}
"""How an answer of the kind is asked for, in the form that `find` reads."""

_NOISE = re.compile(r"\\(?:left|right|displaystyle|[,;:! ])|\$|\\[()\[\]]")
_GAP = re.compile(r"\s+")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\{([^{}]*)\}")
_FRAC = re.compile(r"(\d?)\\frac(?:\{([^{}]*)\}|(\d))(?:\{([^{}]*)\}|(\d))")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_FRACS = re.compile(r"\\[dt]frac")
_PLAIN = re.compile(r"\w+")
_N = r"\(?([+-]?(?:\d+(?:\.\d*)?|\.\d+))\)?"
_NUMBER = re.compile(rf"{_N}(?:/{_N})?\)?")
_SMALL = re.compile(r"-?[1-9][0-9]{0,17}|0")
"""Most answers, which need nothing of all this."""
_LONG_NUMBER = 1000
"""Characters above which a number stays text: Python refuses to write very long ones."""


def find(kind: Kind, response: str | None) -> str | None:
    """The answer in the text after the think block; None if there is none."""
    if response is None or not response.strip():
        return None
    if kind == "choice":
        return choice(response)
    if kind == "code":
        return last_code(response)
    answer, marked = final_answer(response)
    if kind == "puzzle" and not marked:
        return None
    short = len(answer) <= UNMARKED and "\n" not in answer
    if kind == "math" and not marked and not short:
        return None
    return answer or None


def find_marked(text: str) -> str | None:
    """An answer that stands marked in unfinished reasoning."""
    return last_tagged(text) or last_boxed(text) or None


def normalised(kind: Kind, answer: str) -> str:
    """The form in which answers of a kind are compared."""
    if kind == "math":
        return _math(answer)
    if kind == "choice":
        return answer.strip().upper()
    if kind == "code":
        lines = (line.rstrip() for line in textwrap.dedent(answer).splitlines())
        return "\n".join(line for line in lines if line)
    if kind == "puzzle":
        return "\n".join(" ".join(line.split()) for line in answer.strip().splitlines())
    return " ".join(answer.split())


def _math(answer: str) -> str:
    """Spaces, dollars and LaTeX's dress off; numbers as reduced fractions."""
    if _SMALL.fullmatch(answer):
        return answer
    text = _FRACS.sub(r"\\frac", answer)
    for _ in range(4):  # frac in frac, text in text
        text = _FRAC.sub(_slash, _WRAPPED.sub(r"\1", text))
    text = _GAP.sub(_gap, _NOISE.sub("", text).strip()).rstrip(".")
    head, _, tail = text.partition("=")
    if tail and len(head) == 1 and head.isalpha():  # x = 5
        text = tail
    plain = _THOUSANDS.sub("", text)
    if len(plain) < _LONG_NUMBER and (number := _NUMBER.fullmatch(plain)):
        top, bottom = number.groups()
        if bottom is None or Fraction(bottom):
            return str(Fraction(top) / Fraction(bottom or 1))
    return text


def _gap(match: re.Match[str]) -> str:
    """White space stays, as one space, between two words: "2 3" is not "23"."""
    start, end, text = match.start(), match.end(), match.string  # stripped: never at an edge
    return " " if text[start - 1].isalnum() and text[end].isalnum() else ""


def _slash(match: re.Match[str]) -> str:
    r"""\frac as a quotient; behind a digit it is added: "2\frac12" is not "21/2"."""
    before, *parts = (g for g in match.groups() if g is not None)
    top, bottom = (p if _PLAIN.fullmatch(p.strip()) else f"({p})" for p in parts)
    return f"{before}+{top}/{bottom}" if before else f"{top}/{bottom}"
