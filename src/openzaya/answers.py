"""Where an answer stands in a text: boxes, tags, code blocks, letters. Text in, text out.

Verifiers, votes and evaluations share these, so that what one calls the answer all do. The last one
counts: a model that corrects itself means its last word.
"""

from __future__ import annotations

import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```([^\n`]*)\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_SAID = re.compile(r"answer(?:\s+is)?\s*:?\s*\(?\*{0,2}\(?([A-Z])\b", re.IGNORECASE)
_LETTER = re.compile(r"(?<![A-Za-z0-9'])\(?([A-Z])\)?(?![A-Za-z0-9'])")


def last_boxed(text: str) -> str | None:
    r"""Content of the last ``\boxed{...}`` whose braces balance; None if there is none."""
    for match in reversed(list(_BOX.finditer(text))):
        depth = 1
        for i in range(match.end(), len(text)):
            if text[i - 1] == "\\":  # \{ and \} are characters, not braces
                continue
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            if depth == 0:
                return text[match.end() : i].strip()
    return None


def last_tagged(text: str) -> str | None:
    """Content of the last ``<answer>...</answer>``; None if there is none."""
    found = _TAG.findall(text)
    return found[-1].strip() if found else None


def last_code(text: str, language: str | None = None) -> str | None:
    """The last fenced block, of `language` if one is given (its aliases are the caller's)."""
    blocks = [code for tag, code in _FENCE.findall(text) if language in (None, tag.strip().lower())]
    return blocks[-1] if blocks else None


def choice(text: str, letters: str = "ABCDEFGHIJ") -> str | None:
    """The letter that is chosen: in a box or tag, else behind "answer", else the last one that
    stands alone."""
    for inner in (last_boxed(text), last_tagged(text)):
        if inner is not None and (found := _LETTER.findall(inner.strip("*. "))):
            return found[0] if found[0] in letters else None
    for pattern in (_SAID, _LETTER):
        found = [letter.upper() for letter in pattern.findall(text) if letter.upper() in letters]
        if found:
            return found[-1]
    return None


def final_answer(text: str) -> tuple[str, bool]:
    """(the answer, whether it was marked): last tag, else last box, else the whole text."""
    for inner in (last_tagged(text), last_boxed(text)):
        if inner is not None:
            return inner, True
    return text.strip(), False
