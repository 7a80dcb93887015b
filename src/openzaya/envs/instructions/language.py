"""The answer's language, told by its script or by its commonest words. No language model is asked.

Scripts are certain but coarse: Ukrainian passes for Russian, Persian for Arabic, Marathi for Hindi.
Common words tell six languages in Latin script apart in ordinary prose, not in lists of names.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.lexicon import FOREIGN, SCRIPTS, STOPWORDS

SHARE_OF_SCRIPT = 0.8
SHARE_OF_STOPWORDS = 0.2
ENGLISH_ONLY = frozenset(
    {"all_lowercase", "all_uppercase", "no_letter", "letter_frequency", "acrostic", "no_suffix",
     "sentence_letter", "alliteration", "line_capitals", "bookend", "repeat_request"}
)  # fmt: skip


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


@dataclass(frozen=True)
class Script(Constraint):
    kind = "script_language"
    claims = frozenset({"language"})
    conflicts = ENGLISH_ONLY
    phase = 1
    language: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(sorted(SCRIPTS)))

    def instruction(self) -> str:
        return (
            f"Write in {self.language}: at least four letters in five are of its script. Words that"
            " are asked for in English stay English."
        )

    def check(self, text: str) -> bool:
        letters = [c for c in text if c.isalpha()]
        own = sum(_script(c) == SCRIPTS[self.language][0] for c in letters)
        return len(letters) >= 20 and own >= SHARE_OF_SCRIPT * len(letters)

    def make(self, text: str, rng: random.Random) -> str:
        pool = SCRIPTS[self.language][1]
        return _translated(text, pool, 4, rng)

    def violate(self, text: str) -> str:
        return text + "\n" + "plain English again " * (1 + len(text) // 20)


@dataclass(frozen=True)
class StopwordLanguage(Constraint):
    kind = "stopword_language"
    claims = frozenset({"language"})
    conflicts = ENGLISH_ONLY
    phase = 1
    language: str

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.rng.choice(sorted(FOREIGN)))

    def instruction(self) -> str:
        return (
            f"Write in {self.language}, in ordinary sentences; words that are asked for in English "
            "stay English."
        )

    def check(self, text: str) -> bool:
        found = t.lower_words(text)
        if len(found) < 10:
            return False
        counts = {name: sum(w in common for w in found) for name, common in STOPWORDS.items()}
        own = counts.pop(self.language)
        return own >= SHARE_OF_STOPWORDS * len(found) and own > max(counts.values())

    def make(self, text: str, rng: random.Random) -> str:
        return _translated(text, FOREIGN[self.language], 1, rng)

    def violate(self, text: str) -> str:
        return text + "\n" + "the cat and the dog of the house " * (1 + len(text) // 20)


def _translated(text: str, pool: tuple[str, ...], times: int, rng: random.Random) -> str:
    """Sentences of prose replaced by ones of `pool`; where all are of it, some more."""
    own = set(pool)

    def change(sentence: str) -> str:
        return sentence if sentence in own else " ".join(rng.choices(pool, k=times))

    changed = t.each_sentence(text, change)
    return changed if changed != text else f"{text}\n\n{' '.join(rng.choices(pool, k=2))}"
