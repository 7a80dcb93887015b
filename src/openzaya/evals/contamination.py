"""Whether training text holds an evaluation's questions: 13-grams of words, and whole texts.

Beside `data.decontaminate`, which drops training rows: this one says which questions were seen, so
that a score can be read with that in mind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openzaya.data.decontaminate import FEWEST_WORDS, words_of
from openzaya.envs.code.problem import read_jsonl
from openzaya.errors import EnvError, EvalError
from openzaya.evals.tasks.spec import Item

WORDS = 13
"""DEFAULT: the field's usual length of a passage."""
SHORTEST = 40
"""Characters below which a whole text would be found by chance."""
_SPACING = re.compile(r"\\(?:[,;:! ]|quad|qquad|left|right|displaystyle)|[\s$]+")


@dataclass(slots=True)
class Overlap:
    """`hits`: item id to the places where its text was found."""

    items: int
    rows: int
    hits: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"items": self.items, "rows": self.rows, "hits": self.hits}

    def lines(self) -> list[str]:
        head = f"{len(self.hits)} of {self.items} questions in {self.rows} rows"
        return [head, *(f"{id_}: {', '.join(places[:3])}" for id_, places in self.hits.items())]


def overlaps(items: Sequence[Item], files: Sequence[Path]) -> Overlap:
    """Look for every item's question in all strings of the rows of `files` (JSONL, or plain text:
    a line is a row)."""
    passages: dict[int, dict[tuple[str, ...], set[str]]] = {}
    whole: dict[str, str] = {}
    for item in items:
        words = words_of(item.question)
        if len(words) >= FEWEST_WORDS:
            size = min(WORDS, len(words))
            for i in range(len(words) - size + 1):
                known = passages.setdefault(size, {})
                known.setdefault(tuple(words[i : i + size]), set()).add(item.id)
        text = compact(item.question)
        if len(text) >= SHORTEST:
            whole[item.id] = text
    _drop_common(passages, len(items))
    found = Overlap(len(items), 0)
    for place, text in _texts(files):
        found.rows += 1
        words, ids = words_of(text), set()
        for size, known in passages.items():
            for i in range(len(words) - size + 1):
                ids |= known.get(tuple(words[i : i + size]), set())
        squeezed = compact(text)
        ids |= {id_ for id_, question in whole.items() if question in squeezed}
        for id_ in sorted(ids):
            found.hits.setdefault(id_, []).append(place)
    return found


def compact(text: str) -> str:
    """Lower-case, without white space and LaTeX's spacing."""
    return _SPACING.sub("", text.lower())


def _drop_common(passages: dict[int, dict[tuple[str, ...], set[str]]], items: int) -> None:
    """The form in which all questions are asked is nobody's text."""
    for known in passages.values():
        for gram in [g for g, ids in known.items() if len(ids) > max(3, items // 10)]:
            del known[gram]


def _texts(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for path in files:
        if path.suffix in (".txt", ".md") and path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from ((f"{path}:{n}", line) for n, line in enumerate(lines, 1) if line.strip())
            continue
        try:
            for place, row in read_jsonl(path):
                yield place, "\n".join(_strings(row))
        except EnvError as error:
            raise EvalError(error.message, "training text is JSONL, or .txt") from None


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
