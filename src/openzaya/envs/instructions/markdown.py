"""Markdown: headings, lists, tables, fences, emphasis, links."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import adjective, filler, word_without

_BOLD = re.compile(r"\*\*[^*\n]+\*\*")
_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_LINK = re.compile(r"\[[^\[\]\n]+\]\(https?://[^\s()]+\)")
_DIVIDER_CELL = re.compile(r":?-{3,}:?")
COLUMNS = ("Name", "Place", "Reason", "Size", "Year", "Colour", "Owner", "Use", "Risk", "Cost")


def _item(rng: random.Random) -> str:
    return f"the {adjective(rng)} {word_without('', rng)}"


@dataclass(frozen=True)
class Headings(Constraint):
    kind = "headings"
    level: int
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.randint(1, 4), s.number(1, 4))

    def instruction(self) -> str:
        return (
            f"Use exactly {t.plural(self.n, 'Markdown heading')} of level {self.level} (lines that "
            f'begin with "{"#" * self.level} ") and no heading of another level.'
        )

    def check(self, text: str) -> bool:
        heads = [m[1] for row in t.lines(text) if (m := re.match(r"(#{1,6}) +\S", row))]
        return heads == ["#" * self.level] * self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith("#"))
        for _ in range(self.n):
            text = t.insert_block(text, f"{'#' * self.level} About {_item(rng)}", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n{'#' * self.level} More"


@dataclass(frozen=True)
class Table(Constraint):
    kind = "table"
    columns: tuple[str, ...]
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(tuple(s.rng.sample(COLUMNS, s.rng.randint(2, 4))), s.number(2, 5))

    def instruction(self) -> str:
        return (
            f"Include exactly one Markdown table: its columns are {', '.join(self.columns)}, in "
            f"this order, and it has {t.plural(self.n, 'row')} below the header. Each line of it "
            "begins and ends with |."
        )

    def check(self, text: str) -> bool:
        rows = [_cells(row) for row in t.lines(text) if row.startswith("|")]
        if len(rows) != self.n + 2 or rows[0] != list(self.columns):
            return False
        if not all(_DIVIDER_CELL.fullmatch(cell) for cell in rows[1]):
            return False
        return all(len(row) == len(self.columns) and all(row) for row in rows)

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith("|"))
        cells = [self.columns, ("---",) * len(self.columns)]
        cells += [tuple(_item(rng) for _ in self.columns) for _ in range(self.n)]
        return t.insert_block(text, "\n".join(f"| {' | '.join(row)} |" for row in cells), rng)

    def violate(self, text: str) -> str:
        return f"{text}\n| {' | '.join('x' for _ in self.columns)} |"


def _cells(row: str) -> list[str]:
    return [c.strip() for c in row[1:-1].split("|")] if row[-1] == "|" and len(row) > 1 else []


@dataclass(frozen=True)
class Bullets(Constraint):
    kind = "bullets"
    claims = frozenset({"bullets"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 7))

    def instruction(self) -> str:
        return f'Include exactly {t.plural(self.n, "bullet point")}: lines that begin with "- ".'

    def check(self, text: str) -> bool:
        return len(bullets(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        return with_bullets(text, [_item(rng) for _ in range(self.n)], rng)

    def violate(self, text: str) -> str:
        return f"{text}\n- one more"


def bullets(text: str) -> list[str]:
    """What stands behind the "- " of each bullet point."""
    return [row[2:].strip() for row in t.lines(text) if row.startswith("- ") and row[2:].strip()]


def with_bullets(text: str, items: list[str], rng: random.Random) -> str:
    text = t.remove_lines(text, lambda row: row.startswith("- "))
    return t.insert_block(text, "\n".join(f"- {item}" for item in items), rng)


@dataclass(frozen=True)
class NumberedSteps(Constraint):
    kind = "numbered_steps"
    claims = frozenset({"numbered"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 7))

    def instruction(self) -> str:
        return (
            f"Include exactly one list of {self.n} numbered steps, on lines of their own that "
            f'begin with "1. " to "{self.n}. " in this order.'
        )

    def check(self, text: str) -> bool:
        return numbers(text) == [str(i) for i in range(1, self.n + 1)]

    def make(self, text: str, rng: random.Random) -> str:
        return with_numbers(text, list(range(1, self.n + 1)), rng)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.n + 1}. one more"


def numbers(text: str) -> list[str]:
    """The numbers of numbered lines, as written."""
    return [m[1] for row in t.lines(text) if (m := re.match(r"([0-9]{1,9})\. +\S", row))]


def with_numbers(text: str, order: list[int], rng: random.Random) -> str:
    text = t.remove_lines(text, lambda row: re.match(r"[0-9]{1,9}\. ", row) is not None)
    return t.insert_block(text, "\n".join(f"{i}. take {_item(rng)}" for i in order), rng)


@dataclass(frozen=True)
class Checkboxes(Constraint):
    kind = "checkboxes"
    claims = frozenset({"bullets"})
    conflicts = frozenset({"placeholders", "bracketed_sentences"})
    n: int
    done: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        n = s.number(3, 6)
        return cls(n, s.rng.randint(1, n - 1))

    def instruction(self) -> str:
        return (
            f"Include a checklist of exactly {self.n} lines, {self.done} of them done (they begin "
            'with "- [x] ") and the others open ("- [ ] ").'
        )

    def check(self, text: str) -> bool:
        boxes = [m[1] for row in t.lines(text) if (m := re.match(r"- \[([ x])\] +\S", row))]
        return len(boxes) == self.n and boxes.count("x") == self.done

    def make(self, text: str, rng: random.Random) -> str:
        marks = ["x"] * self.done + [" "] * (self.n - self.done)
        rng.shuffle(marks)
        return with_bullets(text, [f"[{mark}] {_item(rng)}" for mark in marks], rng)

    def violate(self, text: str) -> str:
        return text.replace("- [x]", "- [ ]", 1)


@dataclass(frozen=True)
class CodeFence(Constraint):
    kind = "code_fence"
    claims = frozenset({"code"})
    conflicts = frozenset({"line_capitals", "sentence_length", "sentence_count"})
    language: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(("python", "bash", "sql", "text", "c", "html")))

    def instruction(self) -> str:
        return (
            f"Include exactly one fenced code block: it opens with ```{self.language}, holds at "
            "least one line and closes with ```."
        )

    def check(self, text: str) -> bool:
        rows = [row.strip() for row in text.split("\n")]
        fences = [i for i, row in enumerate(rows) if row.startswith("```")]
        if len(fences) != 2:
            return False
        begin, end = fences
        inner = rows[begin + 1 : end]
        return rows[begin] == f"```{self.language}" and rows[end] == "```" and any(inner)

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith("```"))
        return t.insert_block(text, f"```{self.language}\nrun {adjective(rng)}\n```", rng)

    def violate(self, text: str) -> str:
        return f"{text}\n```{self.language}\nmore\n```"


@dataclass(frozen=True)
class Bold(Constraint):
    kind = "bold"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 5))

    def instruction(self) -> str:
        return f"Set exactly {t.plural(self.n, 'passage')} in bold, as in **this one**."

    def check(self, text: str) -> bool:
        return len(_BOLD.findall(text)) == self.n and text.count("**") == 2 * self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = text.replace("**", "")
        for _ in range(self.n):
            text = t.put(text, f"and **{adjective(rng)}**", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n**so**"


@dataclass(frozen=True)
class Blockquote(Constraint):
    kind = "blockquote"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return f'Exactly {t.plural(self.n, "line")} of the answer begin with "> ".'

    def check(self, text: str) -> bool:
        return sum(row.startswith("> ") for row in t.lines(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith(">"))
        return t.insert_block(text, "\n".join(f"> {filler(rng)}" for _ in range(self.n)), rng)

    def violate(self, text: str) -> str:
        return f"{text}\n> so"


@dataclass(frozen=True)
class InlineCode(Constraint):
    kind = "inline_code"
    claims = frozenset({"code"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return f"Set exactly {t.plural(self.n, 'passage')} as inline code, between single `ticks`."

    def check(self, text: str) -> bool:
        return len(_CODE.findall(text)) == self.n and text.count("`") == 2 * self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = text.replace("`", "")
        for _ in range(self.n):
            text = t.put(text, f"and `{adjective(rng)}` too", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n`so`"


@dataclass(frozen=True)
class Links(Constraint):
    kind = "links"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return (
            f"Include exactly {t.plural(self.n, 'Markdown link')}, such as "
            "[label](https://example.org/page)."
        )

    def check(self, text: str) -> bool:
        return len(_LINK.findall(text)) == self.n and text.count("](") == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = _LINK.sub(t.NEUTRAL, text)
        for _ in range(self.n):
            label = adjective(rng)
            text = t.put(text, f"at [{label}](https://example.org/{label}) now", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n[so](https://example.org/so)"


@dataclass(frozen=True)
class FrontMatter(Constraint):
    """The simplest YAML: one `key: value` a line. No YAML parser, hence no YAML bombs."""

    kind = "front_matter"
    claims = frozenset({"start"})
    conflicts = frozenset({"sentence_letter", "acrostic", "line_capitals", "numbered_paragraphs"})
    phase = 5
    keys: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        keys = ("title", "author", "tags", "mood", "audience", "draft", "theme")
        return cls(tuple(s.rng.sample(keys, s.rng.randint(2, 4))))

    def instruction(self) -> str:
        return (
            "Begin with front matter: a line ---, then one line `key: value` for each of the keys "
            f"{', '.join(self.keys)} in this order, then a line ---, then the text."
        )

    def check(self, text: str) -> bool:
        rows = [row.strip() for row in text.split("\n")]
        head = rows[: len(self.keys) + 2]
        if len(head) < len(self.keys) + 2 or head[0] != "---" or head[-1] != "---":
            return False
        pairs = [row.partition(":") for row in head[1:-1]]
        if [key for key, _, _ in pairs] != list(self.keys):
            return False
        return all(value.strip() for _, _, value in pairs) and any(rows[len(head) :])

    def make(self, text: str, rng: random.Random) -> str:
        head = "\n".join(f"{key}: {adjective(rng)}" for key in self.keys)
        return f"---\n{head}\n---\n\n{text}"

    def violate(self, text: str) -> str:
        return text.replace(f"{self.keys[0]}:", "other:", 1)
