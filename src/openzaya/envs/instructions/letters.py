"""Case and letters."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import BY_LETTER, adjective, word_without


@dataclass(frozen=True)
class AllLower(Constraint):
    kind = "all_lowercase"
    claims = frozenset({"case"})
    conflicts = frozenset(
        {"reference_code", "postscript", "letter_form", "end_phrase", "refrain", "sections",
         "repeat_request", "closing_label", "honest_count", "numbers_sum", "table"}
    )  # fmt: skip
    phase = 4

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Write everything in lowercase letters; there is no capital letter."

    def check(self, text: str) -> bool:
        return any(c.islower() for c in text) and text == text.lower()

    def make(self, text: str, rng: random.Random) -> str:
        return text.lower()

    def violate(self, text: str) -> str:
        return f"{text}\nNo."


@dataclass(frozen=True)
class AllUpper(Constraint):
    kind = "all_uppercase"
    claims = frozenset({"case"})
    conflicts = frozenset(
        {"phrase", "end_phrase", "refrain", "sections", "repeat_request", "closing_label",
         "honest_count", "numbers_sum", "front_matter", "tagged", "links", "checkboxes",
         "code_fence", "letter_form", "table"}
    )  # fmt: skip
    phase = 4

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Write everything in CAPITAL letters; there is no lowercase letter."

    def check(self, text: str) -> bool:
        # German sharp s has a capital that `upper` does not make: only lowercase letters count.
        return any(c.isupper() for c in text) and not any(c.islower() for c in text)

    def make(self, text: str, rng: random.Random) -> str:
        return text.upper()

    def violate(self, text: str) -> str:
        return f"{text}\nno."


@dataclass(frozen=True)
class CapitalWords(Constraint):
    kind = "capital_words"
    claims = frozenset({"case"})
    conflicts = frozenset({"reference_code"})
    phase = 4
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 6))

    def instruction(self) -> str:
        return f"Exactly {self.n} words of two or more letters are all in CAPITAL letters."

    def check(self, text: str) -> bool:
        return sum(_shouted(word) for word in t.words(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        while sum(_shouted(word) for word in t.words(text)) < self.n:
            text = t.put(text, f"and {adjective(rng).upper()}", rng)
        seen = 0

        def change(word: str) -> str:
            nonlocal seen
            seen += _shouted(word)
            return word.lower() if _shouted(word) and seen > self.n else word

        return t.swap_words(text, change)

    def violate(self, text: str) -> str:
        return f"{text}\nNO."


def _shouted(word: str) -> bool:
    return word.isupper() and sum(c.isalpha() for c in word) >= 2


@dataclass(frozen=True)
class NoLetter(Constraint):
    kind = "no_letter"
    inside = True
    phase = 3
    letter: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice("jqxzkvbfgpwymcu"))

    def instruction(self) -> str:
        return f'Avoid the letter "{self.letter}": no word has it, in either case.'

    def check(self, text: str) -> bool:
        return bool(t.words(text)) and self.letter not in text.lower()

    def make(self, text: str, rng: random.Random) -> str:
        def change(word: str) -> str:
            return word_without(self.letter, rng) if self.letter in word.lower() else word

        return t.swap_words(text, change)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.letter.upper()}"


@dataclass(frozen=True)
class LetterFrequency(Constraint):
    kind = "letter_frequency"
    claims = frozenset({"letter count"})
    inside = True
    letter: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(sorted(BY_LETTER)), s.number(10, 30))

    def instruction(self) -> str:
        return f'The letter "{self.letter}" appears at least {self.n} times, in either case.'

    def check(self, text: str) -> bool:
        return text.lower().count(self.letter) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            text = t.put(text, f"and {rng.choice(BY_LETTER[self.letter])}", rng)
        return text

    def violate(self, text: str) -> str:
        surplus = text.lower().count(self.letter) - self.n + 1
        out = []
        for c in text:
            if surplus and c.lower() == self.letter:
                surplus -= 1
                continue
            out.append(c)
        return "".join(out)


@dataclass(frozen=True)
class LineCapitals(Constraint):
    kind = "line_capitals"
    claims = frozenset({"case", "start"})
    phase = 4

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            "Write at least four lines that are not empty; each begins with a capital letter and "
            "ends with a full stop."
        )

    def check(self, text: str) -> bool:
        rows = t.lines(text)
        return len(rows) >= 4 and all(row[0].isupper() and row[-1] == "." for row in rows)

    def make(self, text: str, rng: random.Random) -> str:
        rows = []
        for row in text.split("\n"):
            rows += t.sentences(row) if t.is_prose(row) else [row]
        return "\n".join(row[:1].upper() + row[1:] for row in rows)

    def violate(self, text: str) -> str:
        return f"{text}\nno."


@dataclass(frozen=True)
class Alliteration(Constraint):
    kind = "alliteration"
    claims = frozenset({"alliteration"})
    letter: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(sorted(BY_LETTER)), s.number(3, 5))

    def instruction(self) -> str:
        return f'Somewhere, at least {self.n} words in a row begin with the letter "{self.letter}".'

    def check(self, text: str) -> bool:
        run = 0
        for word in t.lower_words(text):
            run = run + 1 if word[0] == self.letter else 0
            if run >= self.n:
                return True
        return False

    def make(self, text: str, rng: random.Random) -> str:
        pool = BY_LETTER[self.letter]
        row = " ".join(pool[i % len(pool)] for i in range(self.n))
        return t.put(text, f"and {row}", rng)

    def violate(self, text: str) -> str:
        run = 0

        def change(word: str) -> str:
            nonlocal run
            run = run + 1 if word[0].lower() == self.letter else 0
            if run < self.n:
                return word
            run = 0
            return "odd"

        return t.swap_words(text, change)


@dataclass(frozen=True)
class NoSuffix(Constraint):
    kind = "no_suffix"
    inside = True
    most = 2
    phase = 3
    suffix: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        fit = [x for x in ("ing", "ed", "ly", "er", "ion", "est") if f"-{x}" not in s.used]
        suffix = s.rng.choice(fit)
        s.used.add(f"-{suffix}")
        return cls(suffix)

    def instruction(self) -> str:
        return f'No word ends in "{self.suffix}".'

    def check(self, text: str) -> bool:
        found = t.lower_words(text)
        return bool(found) and not any(word.endswith(self.suffix) for word in found)

    def make(self, text: str, rng: random.Random) -> str:
        def change(word: str) -> str:
            ends = word.lower().endswith(self.suffix)
            return word_without(self.suffix[-1], rng) if ends else word

        return t.swap_words(text, change)

    def violate(self, text: str) -> str:
        return f"{text}\nfl{self.suffix}"
