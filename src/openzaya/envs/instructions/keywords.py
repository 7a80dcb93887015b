"""Which words an answer has, how often and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import PLACES


def _mention(text: str, word: str, rng: random.Random) -> str:
    return t.put(text, f"{rng.choice(PLACES)} {word}", rng)


def _named(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1]


@dataclass(frozen=True)
class KeywordsPresent(Constraint):
    kind = "keywords_present"
    inside = True
    most = None
    words: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(tuple(s.word() for _ in range(s.rng.randint(1, 3 + s.level // 4))))

    def instruction(self) -> str:
        return f"Use the word{'s' * (len(self.words) > 1)} {_named(self.words)}."

    def check(self, text: str) -> bool:
        return set(self.words) <= set(t.lower_words(text))

    def make(self, text: str, rng: random.Random) -> str:
        for word in self.words:
            if word not in t.lower_words(text):
                text = _mention(text, word, rng)
        return text

    def violate(self, text: str) -> str:
        return t.replace_word(text, self.words[-1])


@dataclass(frozen=True)
class KeywordFrequency(Constraint):
    """At most three in a problem: five at once are a test constraint of IFBench."""

    kind = "keyword_frequency"
    inside = True
    most = 3
    phase = 3
    word: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word(), s.number(2, 4))

    def instruction(self) -> str:
        return f'Use the word "{self.word}" exactly {self.n} times.'

    def check(self, text: str) -> bool:
        return t.lower_words(text).count(self.word) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        for _ in range(self.n - t.lower_words(text).count(self.word)):
            text = _mention(text, self.word, rng)
        return t.replace_word(text, self.word, keep=self.n)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.word}"


@dataclass(frozen=True)
class ForbiddenWords(Constraint):
    kind = "forbidden_words"
    inside = True
    most = None
    words: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(tuple(s.word() for _ in range(s.rng.randint(1, 3 + s.level // 4))))

    def instruction(self) -> str:
        return f"Do not use the word{'s' * (len(self.words) > 1)} {_named(self.words)} at all."

    def check(self, text: str) -> bool:
        return bool(t.words(text)) and not set(self.words) & set(t.lower_words(text))

    def make(self, text: str, rng: random.Random) -> str:
        for word in self.words:
            text = t.replace_word(text, word)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n{self.words[0]}"


@dataclass(frozen=True)
class KeywordOrder(Constraint):
    kind = "keyword_order"
    inside = True
    most = None
    words: tuple[str, ...]

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(tuple(s.word() for _ in range(2 + s.rng.randint(0, 1 + s.level // 5))))

    def instruction(self) -> str:
        return f"Use the words {_named(self.words)}, and first mention them in this order."

    def check(self, text: str) -> bool:
        found = t.lower_words(text)
        if not set(self.words) <= set(found):
            return False
        places = [found.index(word) for word in self.words]
        return places == sorted(places)

    def make(self, text: str, rng: random.Random) -> str:
        for word in self.words:
            if word not in t.lower_words(text):
                text = _mention(text, word, rng)
        found = t.lower_words(text)
        met = sorted(self.words, key=found.index)
        turn = dict(zip(met, self.words, strict=True))
        return t.swap_words(text, lambda w: turn.get(w.lower(), w))

    def violate(self, text: str) -> str:
        first, last = self.words[0], self.words[-1]
        turn = {first: last, last: first}
        return t.swap_words(text, lambda w: turn.get(w.lower(), w))


@dataclass(frozen=True)
class KeywordsTogether(Constraint):
    kind = "keywords_together"
    most = None
    first: str
    second: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word(), s.word())

    def instruction(self) -> str:
        return f'At least one sentence has both words "{self.first}" and "{self.second}".'

    def check(self, text: str) -> bool:
        pair = {self.first, self.second}
        return any(pair <= set(t.lower_words(s)) for s in t.sentences(text))

    def make(self, text: str, rng: random.Random) -> str:
        return t.put(text, f"near {self.first} and {self.second}", rng)

    def violate(self, text: str) -> str:
        return f"{t.replace_word(text, self.second)}\n{self.second}"


@dataclass(frozen=True)
class KeywordEveryParagraph(Constraint):
    kind = "keyword_every_paragraph"
    phase = 4
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word())

    def instruction(self) -> str:
        return f'Every paragraph (separated by blank lines) has the word "{self.word}".'

    def check(self, text: str) -> bool:
        blocks = t.paragraphs(text)
        return bool(blocks) and all(self.word in t.lower_words(block) for block in blocks)

    def make(self, text: str, rng: random.Random) -> str:
        blocks = []
        for block in t.paragraphs(text):
            if self.word not in t.lower_words(block):
                made = _mention(block, self.word, rng)
                # A block without sentences would get one of its own, which is a new paragraph.
                block = made if "\n\n" not in made else f"{block}\n{self.word}"
            blocks.append(block)
        return t.joined(blocks)

    def violate(self, text: str) -> str:
        return f"{text}\n\nOne more."


@dataclass(frozen=True)
class Phrase(Constraint):
    kind = "phrase"
    inside = True
    most = None
    phrase: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(f"the {s.word()} and the {s.word()}")

    def instruction(self) -> str:
        return f'Use the exact phrase "{self.phrase}" once and only once.'

    def check(self, text: str) -> bool:
        return text.lower().count(self.phrase) == 1

    def make(self, text: str, rng: random.Random) -> str:
        plain = text.lower().replace(self.phrase, t.NEUTRAL) if self.phrase in text else text
        return t.put(plain, f"like {self.phrase}", rng)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.phrase}"


@dataclass(frozen=True)
class Uppercased(Constraint):
    kind = "uppercased_word"
    claims = frozenset({"case"})
    phase = 4
    word: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word())

    def instruction(self) -> str:
        return f'Use the word "{self.word}", and write it in capital letters wherever it stands.'

    def check(self, text: str) -> bool:
        found = [word for word in t.words(text) if word.lower() == self.word]
        return bool(found) and all(word.isupper() for word in found)

    def make(self, text: str, rng: random.Random) -> str:
        if self.word not in t.lower_words(text):
            text = _mention(text, self.word, rng)
        return t.replace_word(text, self.word, self.word.upper())

    def violate(self, text: str) -> str:
        return f"{text}\n{self.word}"


@dataclass(frozen=True)
class OneOfTwo(Constraint):
    kind = "one_of_two_words"
    inside = True
    most = None
    first: str
    second: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.word(), s.word())

    def instruction(self) -> str:
        return f'Use either the word "{self.first}" or the word "{self.second}", but not both.'

    def check(self, text: str) -> bool:
        found = t.lower_words(text)
        return (self.first in found) != (self.second in found)

    def make(self, text: str, rng: random.Random) -> str:
        found = t.lower_words(text)
        if self.first in found and self.second in found:
            return t.replace_word(text, self.second)
        return _mention(text, rng.choice((self.first, self.second)), rng)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.first} {self.second}"


@dataclass(frozen=True)
class Code(Constraint):
    kind = "reference_code"
    inside = True
    most = None
    code: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        letters = "".join(s.rng.choices("ABCDEFGHKLMNPRSTUVW", k=2))
        return cls(f"{letters}{s.rng.randint(1000, 9999)}")

    def instruction(self) -> str:
        return f"Mention the reference code {self.code} exactly once."

    def check(self, text: str) -> bool:
        return text.count(self.code) == 1

    def make(self, text: str, rng: random.Random) -> str:
        return _mention(text.replace(self.code, t.NEUTRAL), self.code, rng)

    def violate(self, text: str) -> str:
        return f"{text}\n{self.code}"
