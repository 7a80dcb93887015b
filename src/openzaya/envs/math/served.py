"""The worker's side of math verification. Needs the extra `envs` (math-verify, sympy).

math-verify guards itself by SIGALRM, which only works in a main thread and not inside C code;
here its guards are off, and the parent kills the process.
"""

from __future__ import annotations

from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

_CONFIGS = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def start() -> None:
    import logging

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    verify(_parsed("\\frac{1}{2}"), _parsed("0.5"), timeout_seconds=None)  # warms sympy up


def equal(gold: str, answer: str) -> dict[str, Any]:
    """{"equal": bool}, or {"unread": which} where one of them is no mathematics."""
    golds, answers = _parsed(gold), _parsed(answer)
    if not golds:
        return {"unread": "gold"}
    if not any(not isinstance(a, str) for a in answers):
        return {"unread": "answer"}
    return {"equal": bool(verify(golds, answers, timeout_seconds=None))}


def _parsed(text: str) -> list[Any]:
    # Boxed, since anything else is only looked at as far as a pattern for numbers reaches.
    no_limit: Any = None  # for a timeout that it calls an int
    return parse(f"$\\boxed{{{text}}}$", extraction_config=_CONFIGS, parsing_timeout=no_limit)


CALLS = {"equal": equal}
