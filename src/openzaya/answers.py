"""Where an answer stands in a text: boxes, tags, code blocks, letters. Text in, text out.

Verifiers, votes and evaluations share these, so that what one calls the answer all do. The last one
counts: a model that corrects itself means its last word.
"""

from __future__ import annotations

import re

# Every search here is one pass: a model may write a megabyte of half-open boxes, and a search that
# starts again at each of them would not end.
_BRACE = re.compile(r"\\(?:boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_FENCE = re.compile(r"[ \t]*```([^\n`]*)")
_SAID = re.compile(r"answer(?:\s++is)?\s*+:?\s*+\(?\*{0,2}\(?([A-Z])\b", re.IGNORECASE)
_LETTER = re.compile(r"(?<![A-Za-z0-9'])\(?([A-Z])\)?(?![A-Za-z0-9'])")


def last_boxed(text: str) -> str | None:
    r"""Content of the last ``\boxed{...}`` whose braces balance; None if there is none."""
    if "boxed" not in text and "fbox" not in text:
        return None
    found: tuple[int, int] | None = None
    opened: list[int | None] = []  # where the content of a box begins; None for another brace
    for match in _BRACE.finditer(text):
        token = match[0]
        if token == "}":
            begin = opened.pop() if opened else None
            if begin is not None and (found is None or begin > found[0]):
                found = begin, match.start()
        elif token == "{":
            opened.append(None)
        elif token.endswith("{") and len(token) > 2:  # \{ and \} are characters, not braces
            opened.append(match.end())
    return text[slice(*found)].strip() if found else None


def last_tagged(text: str) -> str | None:
    """Content of the last ``<answer>...</answer>``; None if there is none."""
    begin, found = None, None
    for match in _TAG.finditer(text):
        if not match[1]:
            begin = match.end()
        elif begin is not None:
            found, begin = (begin, match.start()), None
    return text[slice(*found)].strip() if found else None


def last_code(text: str, language: str | None = None) -> str | None:
    """The last fenced block, of `language` if one is given (its aliases are the caller's)."""
    found, tag, lines = None, None, []
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line.rstrip("\r"))
        if tag is None and fence:
            tag, lines = fence[1].strip().lower(), []
        elif fence and not fence[1].strip():
            found = "".join(lines) if language in (None, tag) else found
            tag = None
        elif tag is not None:
            lines.append(line + "\n")
    return found


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
