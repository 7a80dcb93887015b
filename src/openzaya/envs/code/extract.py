"""What a model's text hands in: a program, a value, the arguments of a function.

Linear in the text, whatever it is: models write megabytes of opened fences and tags.
"""

from __future__ import annotations

import ast
from typing import Any

from openzaya.answers import final_answer
from openzaya.envs.code.layout import fits
from openzaya.envs.code.problem import Problem
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.sandbox import Call, Input, Language

LONGEST_PROGRAM = 100_000
LONGEST_VALUE = 20_000
SHORT = 4_000
"""Characters up to which a box is looked for as well."""
TAGS = {
    "python": ("python", "py", "python3", ""),
    "cpp": ("cpp", "c++", "cc", "cxx", ""),
}


def program(text: str, language: Language) -> str:
    """The last fenced block of `language`, or with no language named."""
    found, tag, block = None, None, []
    for line in text.split("\n"):
        fence = line.strip()
        if tag is None:
            if fence.startswith("```") and "`" not in fence[3:]:
                tag, block = fence[3:].strip().lower(), []
        elif fence == "```":
            if tag in TAGS[language]:
                found = block
            tag = None
        else:
            block.append(line)
    if found is None:
        raise Unparseable(f"no closed ```{language} block")
    code = "\n".join(found) + "\n"
    if len(code) > LONGEST_PROGRAM:
        raise Unparseable(f"a program of {len(code)} characters")
    if not code.strip():
        raise Unparseable("an empty program")
    return code


def answer(text: str) -> tuple[str, bool]:
    """(the answer, whether it was marked)."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    if start >= 0:
        said, marked = text[start + len("<answer>") : end].strip("\n"), True
    elif len(text) <= SHORT:
        said, marked = final_answer(text)
    else:
        said, marked = text.strip(), False
    if len(said) > LONGEST_VALUE:
        raise Unparseable(f"an answer of {len(said)} characters")
    return said, marked


def value(text: str, kind: str) -> Any:
    """A value of the type `kind` ("" for any), written as Python writes it. Strings may stand
    without quotes, truth values as yes or no."""
    plain = text.strip()
    if kind == "bool" and plain.lower() in ("yes", "no", "true", "false"):
        return plain.lower() in ("yes", "true")
    try:
        got = _literal(plain)
    except Unparseable:
        if kind == "str":
            return plain
        raise
    if kind == "str" and not isinstance(got, str):
        return plain
    if kind and not fits(kind, got):
        raise Unparseable(f"a value of type {kind} was asked for")
    return got


def arguments(text: str, problem: Problem) -> Input:
    """An input of `problem`: arguments parted by commas, or standard input."""
    if problem.entry is None:
        return (text.strip("\n") + "\n").encode("utf-8", "replace")
    plain = text.strip()
    for name in (problem.entry, "solve"):
        if plain.startswith(f"{name}(") and plain.endswith(")"):
            plain = plain[len(name) + 1 : -1].strip()
    args = _literal(f"({plain},)" if plain else "()")
    if not isinstance(args, tuple):
        raise Unparseable("arguments parted by commas were asked for")
    if problem.typed:
        if len(args) != len(problem.params):
            raise Unparseable(f"{len(problem.params)} arguments were asked for, {len(args)} given")
        for (name, kind), given in zip(problem.params, args, strict=True):
            if not fits(kind, given):
                raise Unparseable(f"{name} should be {kind}")
    return Call(args)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Unparseable("no value in Python's notation") from None
