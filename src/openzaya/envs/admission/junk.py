"""Answers that know nothing. None of them may be right more often than by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openzaya.types import Problem

GUESSES = ("0", "1", "2", "-1", "True", "False", "yes", "no", "None", "[]", "A", "B")
"""Short constants; how often the best of them is right belongs to the guess baseline."""

_WORDS = ["the", "of", "and", "matrix", "seven", "answer", "because", "banana", "graph", "line"]
_MEGABYTE = 1_000_000


def junk(problem: Problem, answers: Sequence[str], rng: random.Random) -> dict[str, str | None]:
    """Kind to text. `answers` are the right ones of several problems, this one's among them."""
    words = " ".join(rng.choices(_WORDS, k=40))
    texts = {
        "nothing": None,
        "empty": "",
        "blank": " \n\t ",
        "words": words,
        "words in the tag": _tag(words),
        "prompt": problem.prompt,
        "prompt in the tag": _tag(problem.prompt.rsplit("\n", 1)[0]),
        "code": "```python\n__import__('os').system('true')\n```",
        "code in the tag": _tag("__import__('os').getcwd()"),
        "powers": _tag("9**9**9**9"),
        "brackets": _tag("(" * 5000),
        "half-open boxes": "\\boxed{" * (_MEGABYTE // 7),
        "half-open tags": "<answer>" * (_MEGABYTE // 8),
        "long number": _tag("7" * 90_000),
        "long list": _tag("[" + "1, " * 30_000 + "1]"),
        "unicode": "\u0661\U0001f9ee\u202e\ud800\x00\u0300" * (_MEGABYTE // 6),
        "unicode in the tag": _tag("١٢٣ ＃ \u202e\ud800\x00 ½ ² Ⅷ"),
        "megabytes": words * (3 * _MEGABYTE // len(words)),
    }  # fmt: skip
    if len(set(answers)) > 1:
        texts["all answers"] = _tag(", ".join(dict.fromkeys(answers)))
        texts["all answers by line"] = _tag("\n".join(dict.fromkeys(answers)))
    return texts


def _tag(text: str) -> str:
    return f"<answer>{text}</answer>"
