"""Commas, brackets, symbols, quotation marks, emoji."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import EMOJI, HYPHENATED, adjective

_HYPHENATED = re.compile(r"[^\W\d_]-[^\W\d_]")
_EMOJI = re.compile("[\U0001f300-\U0001f3fa\U0001f400-\U0001faff\u2600-\u27bf\u2b50\u2b55]")
"""Pictographs one by one: skin tones are left out, and a joined family counts each person."""


@dataclass(frozen=True)
class NoCommas(Constraint):
    kind = "no_commas"
    claims = frozenset({"comma"})

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Use no commas."

    def check(self, text: str) -> bool:
        return bool(t.words(text)) and "," not in text

    def make(self, text: str, rng: random.Random) -> str:
        return text.replace(",", "")

    def violate(self, text: str) -> str:
        return text.replace(" ", ", ", 1) if " " in text else f"{text}, so"


@dataclass(frozen=True)
class SymbolCount(Constraint):
    kind = "symbol_count"
    most = 3
    symbol: str
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        symbol = s.rng.choice([c for c in "@%&;~^+=$" if c not in s.used])
        s.used.add(symbol)
        return cls(symbol, s.number(1, 5))

    def instruction(self) -> str:
        return f"The character {self.symbol} appears exactly {t.plural(self.n, 'time')}."

    def check(self, text: str) -> bool:
        return text.count(self.symbol) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        while text.count(self.symbol) < self.n:
            text = t.put(text, f"{self.symbol} {adjective(rng)}", rng)
        surplus = text.count(self.symbol) - self.n
        return text.replace(self.symbol, "", surplus) if surplus else text

    def violate(self, text: str) -> str:
        return f"{text}\n{self.symbol}"


@dataclass(frozen=True)
class SentenceEnd(Constraint):
    kind = "sentence_end"
    claims = frozenset({"sentence end"})
    conflicts = frozenset(
        {"end_phrase", "refrain", "postscript", "closing_label", "honest_count", "line_capitals",
         "numbers_sum", "code_fence", "repeat_request"}
    )  # fmt: skip
    phase = 4
    mark: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice("!?"))

    def instruction(self) -> str:
        name = "a question mark" if self.mark == "?" else "an exclamation mark"
        return (
            f"Write at least {t.FEW} sentences; every one ends with {name}, where a line break "
            "also ends a sentence."
        )

    def check(self, text: str) -> bool:
        pieces = t.sentences(text)
        return len(pieces) >= t.FEW and all(s.rstrip("\"')]").endswith(self.mark) for s in pieces)

    def make(self, text: str, rng: random.Random) -> str:
        return t.each_sentence(text, lambda s: re.sub(r"[.!?]([\"')\]]*)$", rf"{self.mark}\1", s))

    def violate(self, text: str) -> str:
        return f"{text}\nThis does not."


@dataclass(frozen=True)
class Quoted(Constraint):
    kind = "quoted_answer"
    claims = frozenset({"start", "end"})
    conflicts = frozenset({"quotations"})
    phase = 5

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            'Put the whole answer inside one pair of double quotation marks ("), and use none '
            "inside it."
        )

    def check(self, text: str) -> bool:
        return text[:1] == text[-1:] == '"' and text.count('"') == 2 and bool(t.words(text))

    def make(self, text: str, rng: random.Random) -> str:
        return '"' + text.replace('"', "") + '"'

    def violate(self, text: str) -> str:
        return text[:-1]


@dataclass(frozen=True)
class Bracketed(Constraint):
    kind = "bracketed_sentences"
    claims = frozenset({"start", "end", "sentence end"})
    conflicts = frozenset({"placeholders", "links", "code_fence"})
    phase = 5

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return (
            f"Write at least {t.FEW} sentences and put every one, its full stop included, in "
            "square brackets [like this.]; a line break also ends a sentence."
        )

    def check(self, text: str) -> bool:
        pieces = t.sentences(text)
        return len(pieces) >= t.FEW and all(s[0] == "[" and s[-1] == "]" for s in pieces)

    def make(self, text: str, rng: random.Random) -> str:
        return t.each_sentence(text, lambda s: s if s[0] == "[" else f"[{s}]")

    def violate(self, text: str) -> str:
        return f"{text} This one is free."


@dataclass(frozen=True)
class NoDigits(Constraint):
    kind = "no_digits"
    conflicts = frozenset(
        {"reference_code", "numbered_steps", "countdown", "dates", "clock_times", "amounts",
         "numbers_sum", "honest_count", "numbered_paragraphs", "sections"}
    )  # fmt: skip

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Use no digits; spell numbers out."

    def check(self, text: str) -> bool:
        return bool(t.words(text)) and not any(c.isdigit() for c in text)

    def make(self, text: str, rng: random.Random) -> str:
        return "".join(c for c in text if not c.isdigit())

    def violate(self, text: str) -> str:
        return f"{text}\n7"


@dataclass(frozen=True)
class RoundBrackets(Constraint):
    kind = "round_brackets"
    conflicts = frozenset({"links", "numbered_paragraphs"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 5))

    def instruction(self) -> str:
        return (
            f"Use round brackets exactly {t.plural(self.n, 'time')}, each pair with some text in "
            "it and none inside another."
        )

    def check(self, text: str) -> bool:
        count, begin = 0, -1
        for i, c in enumerate(text):
            if c == "(":
                if begin >= 0:
                    return False
                begin = i
            elif c == ")":
                if begin < 0 or not text[begin + 1 : i].strip():
                    return False
                count, begin = count + 1, -1
        return begin < 0 and count == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = text.replace("(", "").replace(")", "")
        for _ in range(self.n):
            text = t.put(text, f"(and {adjective(rng)})", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n(so)"


@dataclass(frozen=True)
class NoApostrophes(Constraint):
    kind = "no_apostrophes"
    inside = True

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls()

    def instruction(self) -> str:
        return "Use no contractions and no apostrophes."

    def check(self, text: str) -> bool:
        return bool(t.words(text)) and "'" not in text and "’" not in text

    def make(self, text: str, rng: random.Random) -> str:
        return text.replace("'", "").replace("’", "")

    def violate(self, text: str) -> str:
        return f"{text}\nit's"


@dataclass(frozen=True)
class Hyphenated(Constraint):
    kind = "hyphenated_words"
    inside = True
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 5))

    def instruction(self) -> str:
        return f"Use at least {self.n} hyphenated words, such as well-known."

    def check(self, text: str) -> bool:
        return sum(_HYPHENATED.search(word) is not None for word in t.words(text)) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            text = t.put(text, f"and {rng.choice(HYPHENATED)}", rng)
        return text

    def violate(self, text: str) -> str:
        left = self.n - 1

        def change(word: str) -> str:
            nonlocal left
            if _HYPHENATED.search(word) is None:
                return word
            left -= 1
            return word if left >= 0 else word.replace("-", "")

        return t.swap_words(text, change)


@dataclass(frozen=True)
class Quotations(Constraint):
    kind = "quotations"
    claims = frozenset({"quotes"})
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return (
            f"Put exactly {t.plural(self.n, 'passage')} of the answer in double quotation marks "
            '("), each within one line.'
        )

    def check(self, text: str) -> bool:
        if text.count('"') != 2 * self.n:
            return False
        return all(p.strip() and "\n" not in p for p in text.split('"')[1::2])

    def make(self, text: str, rng: random.Random) -> str:
        text = text.replace('"', "")
        for _ in range(self.n):
            text = t.put(text, f'and "{adjective(rng)}" now', rng)
        return text

    def violate(self, text: str) -> str:
        return f'{text}\n"so"'


@dataclass(frozen=True)
class EmojiCount(Constraint):
    """Anywhere: at the end of every sentence they are a test constraint of IFBench."""

    kind = "emoji_count"
    inside = True
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 5))

    def instruction(self) -> str:
        return f"Use exactly {self.n} emoji in the whole answer."

    def check(self, text: str) -> bool:
        return len(_EMOJI.findall(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = _EMOJI.sub("", text)
        for _ in range(self.n):
            text = t.put(text, f"{rng.choice(EMOJI)} and {adjective(rng)}", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text} {EMOJI[0]}"
