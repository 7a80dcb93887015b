"""Titles, sections, letters, postscripts, versions, placeholders, closing lines."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import NAMES, adjective, filler, word_without

_PLACEHOLDER = re.compile(r"\[[^\W\d_][\w ]{0,40}\](?!\()")
_TITLE = re.compile(r"<<[^<>\n]*\w[^<>\n]*>>")
_COUNT_LINE = re.compile(r"Words: ([0-9]{1,9})")
VERSIONS = "******"


@dataclass(frozen=True)
class Sections(Constraint):
    kind = "sections"
    label: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(("Section", "Part", "Chapter", "Scene")), s.number(2, 5))

    def instruction(self) -> str:
        return (
            f'Divide the answer into exactly {self.n} sections. Each begins with a line "'
            f'{self.label} X", where X counts from 1, and has text below that line.'
        )

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        pattern = re.compile(rf"{self.label} ([0-9]{{1,9}})")
        found = [(i, m[1]) for i, row in enumerate(rows) if (m := pattern.fullmatch(row))]
        if [number for _, number in found] != [str(i) for i in range(1, self.n + 1)]:
            return False
        ends = [i for i, _ in found[1:]] + [len(rows)]
        return all(end > begin + 1 for (begin, _), end in zip(found, ends, strict=True))

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(t.remove_lines(text, lambda r: r.startswith(f"{self.label} "))))
        while len(blocks) < self.n + 1:
            blocks.insert(min(1, len(blocks)), filler(rng))
        cuts = sorted(rng.sample(range(1, len(blocks)), self.n))
        for number, cut in reversed(list(enumerate(cuts, 1))):
            blocks.insert(cut, f"{self.label} {number}")
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.label} {self.n + 1}\nMore."


@dataclass(frozen=True)
class Title(Constraint):
    kind = "title"

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Give exactly one title, in double angle brackets on a line of its own: <<title>>."

    def check(self, text: str) -> bool:
        found = [row for row in t.lines(text) if "<<" in row]
        return len(found) == 1 and _TITLE.fullmatch(found[0]) is not None

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: "<<" in row)
        return t.insert_block(text, f"<<{adjective(rng)} {word_without('', rng)}>>", rng)

    def violate(self, text: str) -> str:
        return text.replace("<<", "<")


@dataclass(frozen=True)
class Postscript(Constraint):
    kind = "postscript"
    claims = frozenset({"end"})
    phase = 5

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return 'End with a postscript: the last paragraph, and no other, begins with "P.S. ".'

    def check(self, text: str) -> bool:
        starts = [block.startswith("P.S. ") for block in t.paragraphs(text)]
        return len(starts) >= 2 and starts[-1] and sum(starts) == 1

    def make(self, text: str, rng: random.Random) -> str:
        blocks = [block for block in t.paragraphs(text) if not block.startswith("P.S. ")]
        return t.joined([*blocks, f"P.S. {filler(rng)}"])

    def violate(self, text: str) -> str:
        return text.replace("P.S. ", "PS ")


@dataclass(frozen=True)
class RepeatRequest(Constraint):
    kind = "repeat_request"
    claims = frozenset({"start"})
    conflicts = frozenset({"no_apostrophes"})
    phase = 5
    request: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.topic.request)

    def instruction(self) -> str:
        return (
            "First repeat this sentence word for word, then give the answer below it: "
            f'"{self.request}"'
        )

    def check(self, text: str) -> bool:
        behind = text.removeprefix(self.request)
        return behind != text and self.request not in behind and bool(t.words(behind))

    def make(self, text: str, rng: random.Random) -> str:
        return f"{self.request}\n\n{text.replace(self.request, '').strip()}"

    def violate(self, text: str) -> str:
        return f"Sure. {text}"


@dataclass(frozen=True)
class TwoVersions(Constraint):
    kind = "two_versions"
    claims = frozenset({"divider"})
    phase = 4

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            "Give two different versions of the answer, with one line between them that holds "
            f"only {VERSIONS}."
        )

    def check(self, text: str) -> bool:
        parts: list[list[str]] = [[]]
        for row in t.lines(text):
            if row == VERSIONS:
                parts.append([])
            else:
                parts[-1].append(row)
        return len(parts) == 2 and all(parts) and parts[0] != parts[1]

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(t.remove_lines(text, lambda row: row == VERSIONS)))
        if len(blocks) < 2:
            blocks.append(filler(rng))
        blocks.insert(rng.randint(1, len(blocks) - 1), VERSIONS)
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return f"{text}\n{VERSIONS}\nA third one."


@dataclass(frozen=True)
class Placeholders(Constraint):
    kind = "placeholders"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 5))

    def instruction(self) -> str:
        return (
            f"Leave exactly {t.plural(self.n, 'placeholder')} for the reader to fill in, in "
            "square brackets, such as [address]."
        )

    def check(self, text: str) -> bool:
        return len(_PLACEHOLDER.findall(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = _PLACEHOLDER.sub(t.NEUTRAL, text)
        for _ in range(self.n):
            text = t.put(text, f"for [{word_without('', rng)}] there", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n[name]"


@dataclass(frozen=True)
class LetterForm(Constraint):
    kind = "letter_form"
    claims = frozenset({"start", "end"})
    phase = 5
    to: str
    sender: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(*s.rng.sample(NAMES, 2))

    def instruction(self) -> str:
        return (
            f'Write it as a letter: the first line is "Dear {self.to}:" and the last line is '
            f'"Yours - {self.sender}".'
        )

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        if len(rows) < 3:
            return False
        return rows[0] == f"Dear {self.to}:" and rows[-1] == f"Yours - {self.sender}"

    def make(self, text: str, rng: random.Random) -> str:
        return f"Dear {self.to}:\n\n{text}\n\nYours - {self.sender}"

    def violate(self, text: str) -> str:
        return f"{text}\nBye"


@dataclass(frozen=True)
class ClosingLabel(Constraint):
    kind = "closing_label"
    claims = frozenset({"end"})
    phase = 5
    label: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(("In short", "Bottom line", "Verdict")), s.rng.randint(4, 12))

    def instruction(self) -> str:
        return (
            f'The last line begins with "{self.label}: " and has at most {self.n} words behind '
            "this label; no other line begins with it."
        )

    def check(self, text: str) -> bool:
        starts = [row.startswith(f"{self.label}: ") for row in t.lines(text)]
        if len(starts) < 2 or not starts[-1] or sum(starts) > 1:
            return False
        return 1 <= len(t.words(t.lines(text)[-1].removeprefix(f"{self.label}: "))) <= self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith(f"{self.label}:"))
        return f"{text}\n\n{self.label}: all is {adjective(rng)}."

    def violate(self, text: str) -> str:
        return text + " more" * (self.n + 1)


@dataclass(frozen=True)
class HonestCount(Constraint):
    """The answer must count itself."""

    kind = "honest_count"
    claims = frozenset({"end"})
    phase = 6

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            'The last line is "Words: N", where N is the number of words in all lines above it; '
            "a hyphenated word counts once."
        )

    def check(self, text: str) -> bool:
        above, _, last = text.rstrip().rpartition("\n")
        match = _COUNT_LINE.fullmatch(last.strip())
        count = len(t.words(above))
        return match is not None and count > 0 and int(match[1]) == count

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith("Words: "))
        return f"{text}\n\nWords: {len(t.words(text))}"

    def violate(self, text: str) -> str:
        return f"So {text}"


@dataclass(frozen=True)
class NumberedParagraphs(Constraint):
    kind = "numbered_paragraphs"
    claims = frozenset({"start", "paragraphs"})
    phase = 5
    least: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 5))

    def instruction(self) -> str:
        return (
            f"Write at least {self.least} paragraphs, separated by blank lines, and number every "
            'paragraph at its beginning: "(1) ", "(2) " and so on.'
        )

    def check(self, text: str) -> bool:
        blocks = t.paragraphs(text)
        return len(blocks) >= self.least and all(
            block.startswith(f"({i}) ") for i, block in enumerate(blocks, 1)
        )

    def make(self, text: str, rng: random.Random) -> str:
        blocks = [re.sub(r"^\([0-9]+\) ", "", block) for block in t.paragraphs(text)]
        while len(blocks) < self.least:
            blocks.append(filler(rng))
        return t.joined([f"({i}) {block}" for i, block in enumerate(blocks, 1)])

    def violate(self, text: str) -> str:
        return f"{text}\n\nOne more."
