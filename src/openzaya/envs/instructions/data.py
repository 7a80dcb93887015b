"""Answers that a program would read: JSON, XML, delimited rows, labelled lines."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import Any, Self
from xml.etree import ElementTree

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import NAMES, adjective, filler, word_without

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "boolean": bool, "list of strings": list,
}  # fmt: skip
_TAG = re.compile(r"<[^<>]*>")


def _plain(text: str) -> str:
    """The prose of a draft as one line without marks that a data format gives a meaning to."""
    return " ".join(re.sub(r"[{}\[\]\"<>&;\\|]", "", text).split())


def _parsed(text: str) -> Any:
    """JSON without repeated keys and without NaN; None for anything else."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):  # RecursionError: [[[[...
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@dataclass(frozen=True)
class JsonObject(Constraint):
    kind = "json_object"
    whole = True
    phase = 0
    keys: tuple[str, ...]
    types: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        keys = ("title", "summary", "score", "tags", "final", "notes", "count", "author", "steps")
        chosen = s.rng.sample(keys, min(len(keys), s.number(2, 4)))
        types = ["string", *s.rng.choices(list(TYPES), k=len(chosen) - 1)]
        return cls(tuple(chosen), tuple(types))

    def instruction(self) -> str:
        pairs = zip(self.keys, self.types, strict=True)
        listed = ", ".join(f'"{key}" ({name})' for key, name in pairs)
        return (
            f"The whole answer is one JSON object, without a code fence, whose keys are exactly "
            f"{listed}. Strings and lists are not empty."
        )

    def check(self, text: str) -> bool:
        value = _parsed(text)
        if not isinstance(value, dict) or set(value) != set(self.keys):
            return False
        pairs = zip(self.keys, self.types, strict=True)
        return all(_fits(value[key], name) for key, name in pairs)

    def make(self, text: str, rng: random.Random) -> str:
        value: dict[str, Any] = {}
        for key, name in zip(self.keys, self.types, strict=True):
            value[key] = {
                "string": filler(rng), "integer": rng.randint(1, 9), "boolean": True,
                "list of strings": [adjective(rng) + "."],
            }[name]  # fmt: skip
        value[self.keys[0]] = _plain(text)
        return json.dumps(value, indent=2, ensure_ascii=False)

    def violate(self, text: str) -> str:
        value = json.loads(text)
        value[self.keys[-1]] = None
        return json.dumps(value, ensure_ascii=False)


def _fits(value: Any, name: str) -> bool:
    if name == "string":
        return isinstance(value, str) and bool(value.strip())
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "boolean":
        return isinstance(value, bool)
    return isinstance(value, list) and bool(value) and all(_fits(v, "string") for v in value)


@dataclass(frozen=True)
class JsonArray(Constraint):
    kind = "json_array"
    whole = True
    phase = 0
    n: int
    key: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 6), s.rng.choice(("name", "step", "reason", "idea")))

    def instruction(self) -> str:
        return (
            f"The whole answer is one JSON array of exactly {self.n} objects, without a code "
            f'fence; each object has only the key "{self.key}", and their values are different '
            "strings, none of them empty."
        )

    def check(self, text: str) -> bool:
        value = _parsed(text)
        if not isinstance(value, list) or len(value) != self.n:
            return False
        if not all(isinstance(v, dict) and set(v) == {self.key} for v in value):
            return False
        found = [v[self.key] for v in value]
        return all(_fits(v, "string") for v in found) and len(set(found)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        values = [_plain(text), *(f"Part {i}: {filler(rng)}" for i in range(2, self.n + 1))]
        return json.dumps([{self.key: v} for v in values], indent=1, ensure_ascii=False)

    def violate(self, text: str) -> str:
        return json.dumps(json.loads(text)[:-1], ensure_ascii=False)


@dataclass(frozen=True)
class XmlDocument(Constraint):
    kind = "xml_document"
    whole = True
    phase = 0
    root: str
    child: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        root, child = s.rng.choice(
            (("guide", "step"), ("story", "scene"), ("list", "item"), ("report", "finding"))
        )
        return cls(root, child, s.number(2, 5))

    def instruction(self) -> str:
        return (
            f"The whole answer is well-formed XML without a declaration or comments: one "
            f"<{self.root}> element that holds exactly {self.n} <{self.child}> elements and no "
            "other element; each of them holds text and no attribute."
        )

    def check(self, text: str) -> bool:
        if "<!" in text or "<?" in text:  # no entities, hence no bombs
            return False
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError):  # ValueError: half a surrogate pair
            return False
        children = list(root)
        if root.tag != self.root or root.attrib or len(children) != self.n:
            return False
        return all(
            c.tag == self.child and not c.attrib and len(c) == 0 and (c.text or "").strip()
            for c in children
        )

    def make(self, text: str, rng: random.Random) -> str:
        inner = [_plain(_TAG.sub(" ", text)), *(filler(rng) for _ in range(self.n - 1))]
        rows = "\n".join(f"  <{self.child}>{row}</{self.child}>" for row in inner)
        return f"<{self.root}>\n{rows}\n</{self.root}>"

    def violate(self, text: str) -> str:
        return text.replace(f"</{self.root}>", f"<{self.child}>so</{self.child}></{self.root}>")


@dataclass(frozen=True)
class SemicolonRows(Constraint):
    """Semicolons: comma and tab separated files are test constraints of IFBench."""

    kind = "semicolon_rows"
    whole = True
    phase = 0
    columns: tuple[str, ...]
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        columns = ("part", "note", "owner", "place", "reason", "result")
        return cls(tuple(s.rng.sample(columns, s.rng.randint(2, 4))), s.number(2, 6))

    def instruction(self) -> str:
        return (
            f"The whole answer is a table of plain text: a header line {';'.join(self.columns)} "
            f"and {t.plural(self.n, 'line')} below it, fields separated by semicolons, no field "
            "empty."
        )

    def check(self, text: str) -> bool:
        rows = [row.split(";") for row in t.lines(text)]
        if len(rows) != self.n + 1 or [c.strip() for c in rows[0]] != list(self.columns):
            return False
        return all(len(row) == len(self.columns) and all(c.strip() for c in row) for row in rows)

    def make(self, text: str, rng: random.Random) -> str:
        rows = [[filler(rng) for _ in self.columns] for _ in range(self.n)]
        rows[0][0] = _plain(text)
        return "\n".join(";".join(row) for row in [list(self.columns), *rows])

    def violate(self, text: str) -> str:
        return text.replace(";", ",", 1)


@dataclass(frozen=True)
class LabelledLines(Constraint):
    kind = "labelled_lines"
    whole = True
    phase = 0
    labels: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        labels = ("Who", "What", "Where", "When", "Why", "How", "Cost", "Risk", "Next")
        return cls(tuple(s.rng.sample(labels, min(len(labels), s.number(3, 5)))))

    def instruction(self) -> str:
        return (
            f"The whole answer is {len(self.labels)} lines, one for each of these labels in this "
            f"order: {', '.join(self.labels)}. Each line is the label, a colon, a space and some "
            "text."
        )

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        if len(rows) != len(self.labels):
            return False
        pairs = zip(rows, self.labels, strict=True)
        return all(row.startswith(f"{label}: ") and t.words(row)[1:] for row, label in pairs)

    def make(self, text: str, rng: random.Random) -> str:
        rows = [_plain(text), *(filler(rng) for _ in self.labels[1:])]
        return "\n".join(f"{a}: {b}" for a, b in zip(self.labels, rows, strict=True))

    def violate(self, text: str) -> str:
        return text.replace(f"{self.labels[-1]}: ", f"{self.labels[-1]} - ")


@dataclass(frozen=True)
class Dialogue(Constraint):
    kind = "dialogue"
    whole = True
    phase = 0
    first: str
    second: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        first, second = s.rng.sample(NAMES, 2)
        return cls(first, second, s.number(4, 8))

    def instruction(self) -> str:
        return (
            f"The whole answer is a dialogue of exactly {self.n} lines. Lines begin in turn with "
            f'"{self.first}: " and "{self.second}: ", and {self.first} speaks first.'
        )

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        if len(rows) != self.n:
            return False
        turns = (self.first, self.second)
        return all(
            row.startswith(f"{turns[i % 2]}: ") and t.words(row)[1:] for i, row in enumerate(rows)
        )

    def make(self, text: str, rng: random.Random) -> str:
        rows = [_plain(text), *(filler(rng) for _ in range(self.n - 1))]
        turns = (self.first, self.second)
        return "\n".join(f"{turns[i % 2]}: {row}" for i, row in enumerate(rows))

    def violate(self, text: str) -> str:
        return f"{text}\nAnd then?"


@dataclass(frozen=True)
class Tagged(Constraint):
    kind = "tagged"
    tag: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(("summary", "opinion", "warning", "example", "aside")))

    def instruction(self) -> str:
        return (
            f"Include exactly one passage between <{self.tag}> and </{self.tag}>, with some text "
            "in it."
        )

    def check(self, text: str) -> bool:
        begin, end = f"<{self.tag}>", f"</{self.tag}>"
        if text.count(begin) != 1 or text.count(end) != 1:
            return False
        return bool(t.words(text.partition(begin)[2].partition(end)[0])) and text.index(
            begin
        ) < text.index(end)

    def make(self, text: str, rng: random.Random) -> str:
        text = text.replace(f"<{self.tag}>", "").replace(f"</{self.tag}>", "")
        noun = word_without("", rng)
        return t.put(text, f"with <{self.tag}>the {noun}</{self.tag}> there", rng)

    def violate(self, text: str) -> str:
        return text.replace(f"</{self.tag}>", "")
