"""How an answer, its paragraphs and its sentences begin and end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.length import with_paragraphs
from openzaya.envs.instructions.lexicon import ACROSTICS, OPENERS, filler


def _uncapital(text: str) -> str:
    return text[:1].lower() + text[1:]


def _first_letter(text: str) -> str:
    return next((c.lower() for c in text if c.isalpha()), "")


@dataclass(frozen=True)
class FirstWord(Constraint):
    kind = "first_word"
    claims = frozenset({"start"})
    phase = 5
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word())

    def instruction(self) -> str:
        return f'The first word of the answer is "{self.word}".'

    def check(self, text: str) -> bool:
        return t.lower_words(text)[:1] == (self.word,)

    def make(self, text: str, rng: random.Random) -> str:
        opener = self.word.capitalize()
        if t.is_prose(text.split("\n")[0]):
            return f"{opener} is where {_uncapital(text)}"
        return f"{opener} is here. {filler(rng)}\n\n{text}"

    def violate(self, text: str) -> str:
        return f"Well {text}"


@dataclass(frozen=True)
class LastWord(Constraint):
    kind = "last_word"
    claims = frozenset({"end"})
    phase = 5
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word())

    def instruction(self) -> str:
        return f'The last word of the answer is "{self.word}".'

    def check(self, text: str) -> bool:
        return t.lower_words(text)[-1:] == (self.word,)

    def make(self, text: str, rng: random.Random) -> str:
        return _ending(text, f"near {self.word}")

    def violate(self, text: str) -> str:
        return f"{text}\nyes"


def _ending(text: str, piece: str) -> str:
    """`text` whose last sentence ends with `piece`."""
    if t.is_prose(text.split("\n")[-1]) and text[-1:] in ".!?":
        return f"{text[:-1]} {piece}{text[-1]}"
    return f"{text}\n\nWe end {piece}."


@dataclass(frozen=True)
class EndPhrase(Constraint):
    kind = "end_phrase"
    claims = frozenset({"end"})
    phase = 5
    phrase: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(f"That is all about the {s.word()}.")

    def instruction(self) -> str:
        return f'End the answer with exactly this sentence and nothing behind it: "{self.phrase}"'

    def check(self, text: str) -> bool:
        return text.rstrip().endswith(self.phrase)

    def make(self, text: str, rng: random.Random) -> str:
        if t.is_prose(text.split("\n")[-1]):
            return f"{text} {self.phrase}"
        return f"{text}\n\n{self.phrase}"

    def violate(self, text: str) -> str:
        return f"{text}\nyes"


@dataclass(frozen=True)
class SentenceLetter(Constraint):
    kind = "sentence_letter"
    claims = frozenset({"start", "sentence start"})
    conflicts = frozenset({"code_fence", "numbers_sum"})
    phase = 5
    letter: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice("acdefilnopst"))

    def instruction(self) -> str:
        return (
            f"Write at least {t.FEW} sentences; every one begins with the letter "
            f'"{self.letter.upper()}", where a line break also ends a sentence.'
        )

    def check(self, text: str) -> bool:
        pieces = t.sentences(text)
        return len(pieces) >= t.FEW and all(_first_letter(s) == self.letter for s in pieces)

    def make(self, text: str, rng: random.Random) -> str:
        def change(sentence: str) -> str:
            if _first_letter(sentence) == self.letter:
                return sentence
            return f"{OPENERS[self.letter]} {_uncapital(sentence)}"

        return t.each_sentence(text, change)

    def violate(self, text: str) -> str:
        return f"{text}\n{'Be' if self.letter != 'b' else 'So'} it."


@dataclass(frozen=True)
class Acrostic(Constraint):
    kind = "acrostic"
    claims = frozenset({"start", "paragraphs", "sentence start"})
    phase = 5
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        fit = [w for w in ACROSTICS if len(w) <= 4 + s.level // 2]
        return cls(s.rng.choice(fit))

    def instruction(self) -> str:
        return (
            "The first letters of the paragraphs (separated by blank lines), read from top to "
            f'bottom, spell the word "{self.word}".'
        )

    def check(self, text: str) -> bool:
        return "".join(_first_letter(block) for block in t.paragraphs(text)) == self.word

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(with_paragraphs(text, len(self.word), rng)))
        for i, (block, letter) in enumerate(zip(blocks, self.word, strict=False)):
            if _first_letter(block) != letter:
                if not t.is_prose(block.split("\n")[0]):
                    return text
                blocks[i] = f"{OPENERS[letter]} {_uncapital(block)}"
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return f"{text}\n\n{text}"


@dataclass(frozen=True)
class ParagraphFirstWord(Constraint):
    kind = "paragraph_first_word"
    claims = frozenset({"paragraphs"})
    phase = 4
    count: int
    place: int
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        count = s.number(3, 6)
        return cls(count, s.rng.randint(2, count), s.word())

    def instruction(self) -> str:
        return (
            f"Write exactly {self.count} paragraphs, separated by blank lines; paragraph number "
            f'{self.place} begins with the word "{self.word}".'
        )

    def check(self, text: str) -> bool:
        blocks = t.paragraphs(text)
        if len(blocks) != self.count:
            return False
        return t.lower_words(blocks[self.place - 1])[:1] == (self.word,)

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(with_paragraphs(text, self.count, rng)))
        place = min(self.place, len(blocks)) - 1
        if t.lower_words(blocks[place])[:1] != (self.word,):
            blocks[place] = f"{self.word.capitalize()} is where {_uncapital(blocks[place])}"
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        blocks = list(t.paragraphs(text))
        blocks[self.place - 1] = f"Now {blocks[self.place - 1]}"
        return t.joined(blocks)


@dataclass(frozen=True)
class Bookend(Constraint):
    kind = "bookend"
    claims = frozenset({"start", "end"})
    phase = 5

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            "The last sentence repeats the first sentence word for word, with at least one other "
            "sentence between them."
        )

    def check(self, text: str) -> bool:
        pieces = t.sentences(text)
        return len(pieces) >= 3 and pieces[0] == pieces[-1] and pieces[1] != pieces[0]

    def make(self, text: str, rng: random.Random) -> str:
        if not t.is_prose(text.split("\n")[0]):
            return text
        first = t.sentences(text)[0]
        if t.is_prose(text.split("\n")[-1]) and len(t.sentences(text)) > 1:
            return f"{text} {first}"
        return f"{text}\n\n{first}"

    def violate(self, text: str) -> str:
        return f"{text}\nIt ends here."


@dataclass(frozen=True)
class Refrain(Constraint):
    kind = "refrain"
    claims = frozenset({"end"})
    phase = 5
    sentence: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(f"And the {s.word()} waits.")

    def instruction(self) -> str:
        return (
            "There are at least two paragraphs (separated by blank lines), and each one ends with "
            f'the sentence "{self.sentence}"'
        )

    def check(self, text: str) -> bool:
        blocks = t.paragraphs(text)
        return len(blocks) >= 2 and all(b.rstrip().endswith(self.sentence) for b in blocks)

    def make(self, text: str, rng: random.Random) -> str:
        blocks = list(t.paragraphs(text))
        if len(blocks) < 2:
            blocks.append(filler(rng))
        for i, block in enumerate(blocks):
            if not block.endswith(self.sentence):
                gap = " " if t.is_prose(block.split("\n")[-1]) else "\n"
                blocks[i] = f"{block}{gap}{self.sentence}"
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return f"{text} Not quite."
