"""What words, sentences and paragraphs are, and small edits of a text.

Checks and instructions share these definitions, so that a rule means what it measures. All of it is
linear in the text. The edits serve oracles: they change a draft as little as a rule needs.
"""

from __future__ import annotations

import heapq
import random
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+|\n+")
_BLANK = re.compile(r"\n[ \t]*\n\s*")
_SPOT = re.compile(r"(?<=[^\W\d_])[.!?](?=[\s\"'<;\])]|$)", re.MULTILINE)
_PROSE = re.compile(r"[\"\[(]?[^\W\d_]")
_LABEL = re.compile(r"P\.S\.|Dear |[^\s:]+(?: [^\s:]+){0,2}:")
FEW = 3
"""Sentences that a rule about every sentence asks for at least: one alone keeps it too soon."""
NEUTRAL = "item"
"""What takes the place of a word that must go."""


@lru_cache(maxsize=8)
def words(text: str) -> tuple[str, ...]:
    """Runs of letters and digits; apostrophes and hyphens inside belong to the word."""
    return tuple(_WORD.findall(text))


@lru_cache(maxsize=8)
def lower_words(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in words(text))


@lru_cache(maxsize=8)
def sentences(text: str) -> tuple[str, ...]:
    """Pieces with a word that end with . ! or ? before white space, or at a line break."""
    return tuple(s.strip() for s in _SENTENCE_END.split(text) if _WORD.search(s))


@lru_cache(maxsize=8)
def paragraphs(text: str) -> tuple[str, ...]:
    """What stands between blank lines."""
    return tuple(p for p in _BLANK.split(text.strip()) if p.strip())


@lru_cache(maxsize=8)
def lines(text: str) -> tuple[str, ...]:
    """Lines that are not empty, without the white space around them."""
    return tuple(line.strip() for line in text.split("\n") if line.strip())


def joined(blocks: list[str] | tuple[str, ...]) -> str:
    return "\n\n".join(blocks)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def is_prose(line: str) -> bool:
    """Whether a draft's line holds sentences, not markup or a label."""
    plain = _PROSE.match(line) is not None and _LABEL.match(line) is None
    return plain and _SPOT.search(line) is not None


def _spots(text: str) -> list[int]:
    """Where a word may be put: before the ends of sentences, in prose if there is any."""
    plain: list[int] = []
    other: list[int] = []
    start = 0
    for line in text.split("\n"):
        ends = [start + m.start() for m in _SPOT.finditer(line)]
        (plain if is_prose(line) else other).extend(ends)
        start += len(line) + 1
    return plain or other


def _length(text: str, before: int, spot: int) -> int:
    """Roughly the words of the sentence that ends at `spot`."""
    begin = max(before, text.rfind("\n", before, spot))
    return text.count(" ", begin, spot)


def put(text: str, piece: str, rng: random.Random) -> str:
    """`piece` inside one of the shortest sentences; a sentence of its own where there is none."""
    spots = _spots(text)
    if not spots:
        return f"{text}\n\nHere is {piece}.".strip()
    size = {spot: _length(text, before, spot) for before, spot in pairwise([0, *spots])}
    shortest = heapq.nsmallest(3, spots, key=size.__getitem__)
    spot = rng.choice(shortest)
    return f"{text[:spot]} {piece}{text[spot:]}"


def swap_words(text: str, change: Callable[[str], str]) -> str:
    """Every word replaced by what `change` makes of it."""
    return _WORD.sub(lambda m: change(m[0]), text)


def replace_word(text: str, word: str, by: str = NEUTRAL, keep: int = 0) -> str:
    """All but the first `keep` occurrences of `word`, in any case, replaced."""
    seen = 0

    def change(found: str) -> str:
        nonlocal seen
        if found.lower() != word:
            return found
        seen += 1
        return found if seen <= keep else by

    return swap_words(text, change)


def add_sentence(text: str, sentence: str, rng: random.Random) -> str:
    """`sentence` behind a line of prose; its words inside another format where there is none."""
    rows = text.split("\n")
    places = [i for i, row in enumerate(rows) if is_prose(row)]
    if not places:
        return put(text, sentence.rstrip(".").lower(), rng)
    place = rng.choice(places)
    end = "]" if rows[place].endswith("]") else ""
    rows[place] += f" [{sentence}{end}" if end else f" {sentence}"
    return "\n".join(rows)


def drop_sentence(text: str) -> str:
    """One sentence less: the last one of the line of prose that has most; `text` if none can go."""
    rows = text.split("\n")
    sizes = {i: len(sentences(row)) for i, row in enumerate(rows) if is_prose(row)}
    place = max(sizes, key=lambda i: (sizes[i], i), default=None)
    if place is None:
        return text
    if sizes[place] > 1:
        rows[place] = " ".join(sentences(rows[place])[:-1])
        return "\n".join(rows)
    if len(rows) == 1:
        return text
    del rows[place]
    return joined(paragraphs("\n".join(rows)))


def each_sentence(text: str, change: Callable[[str], str]) -> str:
    """Every sentence of prose replaced by what `change` makes of it."""
    rows = text.split("\n")
    for i, row in enumerate(rows):
        if is_prose(row):
            rows[i] = " ".join(change(s) for s in sentences(row))
    return "\n".join(rows)


def insert_block(text: str, block: str, rng: random.Random) -> str:
    """`block` as a paragraph of its own, between others: start and end may have their own rules."""
    blocks = list(paragraphs(text))
    place = rng.randint(1, max(1, len(blocks) - 1))
    return joined([*blocks[:place], block, *blocks[place:]])


def remove_lines(text: str, gone: Callable[[str], bool]) -> str:
    """Without the lines for which `gone` holds, and without the gaps they leave."""
    kept = [row for row in text.split("\n") if not gone(row.strip())]
    return joined(paragraphs("\n".join(kept)))
