"""How long an answer, its paragraphs, sentences, lines and words are."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import LONG_WORDS, adjective, filler, word_without


@dataclass(frozen=True)
class WordBound(Constraint):
    """One bound, never both: a word range is a test constraint of IFBench."""

    kind = "word_bound"
    claims = frozenset({"words"})
    phase = 3
    inside = True
    at_most: bool
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        low = 40 + 10 * s.level
        return cls(s.rng.random() < 0.4, s.rng.randint(low, 3 * low))

    def instruction(self) -> str:
        return f"Use at {'most' if self.at_most else 'least'} {self.n} words."

    def check(self, text: str) -> bool:
        count = len(t.words(text))
        return count <= self.n if self.at_most else count >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            before = text
            text = t.drop_sentence(text) if self.at_most else t.add_sentence(text, filler(rng), rng)
            if text == before:
                break
        return text

    def violate(self, text: str) -> str:
        if self.at_most:
            return text + " more" * (self.n + 1 - len(t.words(text)))
        return " ".join(t.words(text)[: self.n - 1])


@dataclass(frozen=True)
class CharacterBound(Constraint):
    kind = "character_bound"
    claims = frozenset({"characters"})
    phase = 3
    inside = True
    at_most: bool
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        low = 300 + 60 * s.level
        return cls(s.rng.random() < 0.5, s.rng.randint(low, 3 * low))

    def instruction(self) -> str:
        bound = "most" if self.at_most else "least"
        return f"The whole answer has at {bound} {self.n} characters, spaces included."

    def check(self, text: str) -> bool:
        return len(text) <= self.n if self.at_most else len(text) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            before = text
            text = t.drop_sentence(text) if self.at_most else t.add_sentence(text, filler(rng), rng)
            if text == before:
                break
        return text

    def violate(self, text: str) -> str:
        if self.at_most:
            return text + "x" * (self.n + 1 - len(text))
        return text[: self.n - 1]


@dataclass(frozen=True)
class SentenceCount(Constraint):
    kind = "sentence_count"
    claims = frozenset({"sentences"})
    phase = 3
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 12))

    def instruction(self) -> str:
        return (
            f"Write exactly {t.plural(self.n, 'sentence')}; headings, list items and other lines "
            "of their own count as sentences too."
        )

    def check(self, text: str) -> bool:
        return len(t.sentences(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        for _ in range(abs(len(t.sentences(text)) - self.n)):
            if len(t.sentences(text)) > self.n:
                text = t.drop_sentence(text)
            else:
                text = t.add_sentence(text, filler(rng), rng)
        return text

    def violate(self, text: str) -> str:
        return text + "\nOne more is here."


@dataclass(frozen=True)
class ParagraphCount(Constraint):
    kind = "paragraph_count"
    claims = frozenset({"paragraphs"})
    phase = 3
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 7))

    def instruction(self) -> str:
        return (
            f"Write exactly {t.plural(self.n, 'paragraph')}, with a blank line between them; "
            "anything else between blank lines counts as a paragraph too."
        )

    def check(self, text: str) -> bool:
        return len(t.paragraphs(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        return with_paragraphs(text, self.n, rng)

    def violate(self, text: str) -> str:
        return text + "\n\nOne more."


def with_paragraphs(text: str, n: int, rng: random.Random) -> str:
    """Prose joined or added until there are `n` paragraphs, as far as that goes."""
    blocks = list(t.paragraphs(text))
    while len(blocks) > n:
        pairs = [i for i in range(1, len(blocks)) if _plain(blocks[i]) and _plain(blocks[i - 1])]
        if not pairs:
            break
        place = rng.choice(pairs)
        blocks[place - 1 : place + 1] = [f"{blocks[place - 1]} {blocks[place]}"]
    while len(blocks) < n:
        blocks.insert(rng.randint(min(1, len(blocks)), max(1, len(blocks) - 1)), filler(rng))
    return t.joined(blocks)


def _plain(block: str) -> bool:
    return "\n" not in block and t.is_prose(block)


@dataclass(frozen=True)
class DividedParts(Constraint):
    kind = "divided_parts"
    claims = frozenset({"paragraphs", "divider"})
    phase = 4
    n: int
    divider: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 5), s.rng.choice(("***", "~~~~", "=====", "-o-o-")))

    def instruction(self) -> str:
        return (
            f"Divide the answer into exactly {self.n} parts, each with some text, and put a line "
            f"that holds only {self.divider} between neighbouring parts."
        )

    def check(self, text: str) -> bool:
        parts = _parts(text, self.divider)
        return len(parts) == self.n and all(t.words(part) for part in parts)

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(t.remove_lines(text, lambda row: row == self.divider)))
        while len(blocks) < self.n:
            blocks.insert(min(1, len(blocks)), filler(rng))
        cuts = set(rng.sample(range(1, len(blocks)), self.n - 1))
        out: list[str] = []
        for i, block in enumerate(blocks):
            out += [self.divider, block] if i in cuts else [block]
        return t.joined(out)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.divider}\nOne more part."


def _parts(text: str, divider: str) -> list[str]:
    parts: list[list[str]] = [[]]
    for row in text.split("\n"):
        if row.strip() == divider:
            parts.append([])
        else:
            parts[-1].append(row)
    return ["\n".join(part) for part in parts]


@dataclass(frozen=True)
class LineCount(Constraint):
    kind = "line_count"
    claims = frozenset({"lines"})
    phase = 3
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(3, 12))

    def instruction(self) -> str:
        return f"The answer has exactly {self.n} lines; empty lines do not count."

    def check(self, text: str) -> bool:
        return len(t.lines(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        count = len(t.paragraphs(text)) + self.n - len(t.lines(text))
        return with_paragraphs(text, count, rng) if count > 0 else text

    def violate(self, text: str) -> str:
        return text + "\nOne more line."


@dataclass(frozen=True)
class SentenceLength(Constraint):
    kind = "sentence_length"
    claims = frozenset({"sentence length"})
    conflicts = frozenset({"numbers_sum", "code_fence"})
    phase = 3
    at_most: bool
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        at_most = s.rng.random() < 0.6
        return cls(at_most, s.rng.randint(9, 16) if at_most else s.number(4, 8))

    def instruction(self) -> str:
        bound = "most" if self.at_most else "least"
        return (
            f"Write at least {t.FEW} sentences; every one has at {bound} {self.n} words, where a "
            "line break also ends a sentence."
        )

    def check(self, text: str) -> bool:
        counts = [len(t.words(s)) for s in t.sentences(text)]
        if len(counts) < t.FEW:
            return False
        return max(counts) <= self.n if self.at_most else min(counts) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        def change(sentence: str) -> str:
            tokens = sentence.split(" ")
            if self.at_most and len(t.words(sentence)) > self.n:
                return " ".join(tokens[: self.n - 1]) + " " + tokens[-1]
            while not self.at_most and len(t.words(sentence)) < self.n:
                sentence = t.put(sentence, f"and {adjective(rng)}", rng)
            return sentence

        return t.each_sentence(text, change)

    def violate(self, text: str) -> str:
        return text + ("\n" + "more " * (self.n + 1) if self.at_most else "\nShort.")


@dataclass(frozen=True)
class ParagraphSentences(Constraint):
    kind = "paragraph_sentences"
    claims = frozenset({"sentences", "lines"})
    phase = 4
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 4))

    def instruction(self) -> str:
        return (
            f"Every paragraph (separated by blank lines) has exactly {self.n} sentences, where a "
            "line break also ends a sentence."
        )

    def check(self, text: str) -> bool:
        blocks = t.paragraphs(text)
        return bool(blocks) and all(len(t.sentences(block)) == self.n for block in blocks)

    def make(self, text: str, rng: random.Random) -> str:
        blocks = []
        for block in t.paragraphs(text):
            for _ in range(abs(len(t.sentences(block)) - self.n)):
                if len(t.sentences(block)) > self.n:
                    block = t.drop_sentence(block)
                elif t.is_prose(block.split("\n")[0]):
                    block = t.add_sentence(block, filler(rng), rng)
            blocks.append(block)
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return text + "\n" + "One more sentence."


@dataclass(frozen=True)
class WordLength(Constraint):
    kind = "word_length"
    claims = frozenset({"word length"})
    phase = 3
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.randint(8, 12))

    def instruction(self) -> str:
        return f"Use no word of more than {self.n} characters."

    def check(self, text: str) -> bool:
        found = t.words(text)
        return bool(found) and all(len(word) <= self.n for word in found)

    def make(self, text: str, rng: random.Random) -> str:
        return t.swap_words(text, lambda w: w if len(w) <= self.n else word_without("", rng))

    def violate(self, text: str) -> str:
        return text + "\n" + "o" * (self.n + 1)


@dataclass(frozen=True)
class LineWidth(Constraint):
    kind = "line_width"
    claims = frozenset({"lines"})
    phase = 4
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.randint(60, 90))

    def instruction(self) -> str:
        return f"No line is longer than {self.n} characters, so break lines where you must."

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        return bool(rows) and all(len(row) <= self.n for row in rows)

    def make(self, text: str, rng: random.Random) -> str:
        rows: list[str] = []
        for row in text.split("\n"):
            if len(row) <= self.n or not t.is_prose(row):
                rows.append(row)
                continue
            for sentence in t.sentences(row):
                rows += [sentence] if len(sentence) <= self.n else _folded(sentence, self.n)
        return "\n".join(rows)

    def violate(self, text: str) -> str:
        return text + "\n" + "o" * (self.n + 1)


def _folded(sentence: str, width: int) -> list[str]:
    rows = [""]
    for token in sentence.split(" "):
        if rows[-1] and len(rows[-1]) + 1 + len(token) > width:
            rows.append("")
        rows[-1] = f"{rows[-1]} {token}".strip()
    return rows


@dataclass(frozen=True)
class LongWords(Constraint):
    kind = "long_words"
    conflicts = frozenset({"word_length"})
    inside = True
    n: int
    length: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 5), s.rng.randint(9, 12))

    def instruction(self) -> str:
        return f"Use at least {self.n} words of {self.length} or more characters."

    def check(self, text: str) -> bool:
        return sum(len(word) >= self.length for word in t.words(text)) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            text = t.put(text, f"by {rng.choice(LONG_WORDS)}", rng)
        return text

    def violate(self, text: str) -> str:
        left = self.n - 1

        def change(word: str) -> str:
            nonlocal left
            left -= len(word) >= self.length
            return word if len(word) < self.length or left >= 0 else "item"

        return t.swap_words(text, change)
