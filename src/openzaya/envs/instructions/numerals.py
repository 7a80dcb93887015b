"""Dates, times, amounts and sums."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

from openzaya.envs.instructions import text as t
from openzaya.envs.instructions.base import Constraint, Setting

_DATE = re.compile(r"(?<![0-9./])([0-9]{2})\.([0-9]{2})\.([0-9]{4})(?![0-9])")
_TIME = re.compile(r"(?<![0-9:])(?:[01][0-9]|2[0-3]):[0-5][0-9](?![0-9:])")
_AMOUNT = re.compile(r"(?<!\w)EUR [0-9]{1,9}\.[0-9]{2}(?![0-9])")
_FIRST = date(1950, 1, 1)


@dataclass(frozen=True)
class Dates(Constraint):
    """DD.MM.YYYY: the ISO form is a test constraint of IFBench."""

    kind = "dates"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(2, 4))

    def instruction(self) -> str:
        return (
            f"Mention at least {self.n} different dates of the calendar in the form DD.MM.YYYY, "
            "such as 05.09.1987."
        )

    def check(self, text: str) -> bool:
        found = {(d, m, y) for d, m, y in _DATE.findall(text) if _real(int(d), int(m), int(y))}
        return len(found) >= self.n

    def make(self, text: str, rng: random.Random) -> str:
        while not self.check(text):
            day = _FIRST + timedelta(days=rng.randint(0, 26000))
            text = t.put(text, f"on {day:%d.%m.%Y} again", rng)
        return text

    def violate(self, text: str) -> str:
        return _DATE.sub(r"\1/\2/\3", text)


def _real(day: int, month: int, year: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class ClockTimes(Constraint):
    kind = "clock_times"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return (
            f"Mention exactly {t.plural(self.n, 'time')} of day in the 24-hour form HH:MM, such as "
            "07:45."
        )

    def check(self, text: str) -> bool:
        return len(_TIME.findall(text)) == self.n

    def make(self, text: str, rng: random.Random) -> str:
        text = _TIME.sub(t.NEUTRAL, text)
        for _ in range(self.n):
            clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
            text = t.put(text, f"at {clock} sharp", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\n12:30"


@dataclass(frozen=True)
class Amounts(Constraint):
    kind = "amounts"
    n: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        return cls(s.number(1, 4))

    def instruction(self) -> str:
        return (
            f"Mention exactly {t.plural(self.n, 'amount')} of money, written like EUR 45.50, and "
            "write EUR nowhere else."
        )

    def check(self, text: str) -> bool:
        return len(_AMOUNT.findall(text)) == self.n == t.words(text).count("EUR")

    def make(self, text: str, rng: random.Random) -> str:
        text = _AMOUNT.sub(t.NEUTRAL, text)
        for _ in range(self.n):
            price = f"{rng.randint(1, 99)}.{rng.randint(0, 99):02d}"
            text = t.put(text, f"for EUR {price} only", rng)
        return text

    def violate(self, text: str) -> str:
        return f"{text}\nEUR 1.20"


@dataclass(frozen=True)
class NumbersSum(Constraint):
    kind = "numbers_sum"
    n: int
    total: int

    @classmethod
    def draw(cls, s: Setting) -> Self:
        n = s.number(2, 4)
        return cls(n, n * (n + 1) // 2 + s.rng.randint(5, 200))

    def instruction(self) -> str:
        return (
            f'Exactly one line has the form "Sum: a + b + ...", with {self.n} different positive '
            f"whole numbers that add up to {self.total}, and nothing behind them."
        )

    def check(self, text: str) -> bool:
        rows = [row for row in t.lines(text) if row.startswith("Sum: ")]
        if len(rows) != 1:
            return False
        parts = [part.strip() for part in rows[0][5:].split("+")]
        if not all(re.fullmatch(r"[1-9][0-9]{0,8}", part) for part in parts):
            return False
        return len(set(parts)) == len(parts) == self.n and sum(map(int, parts)) == self.total

    def make(self, text: str, rng: random.Random) -> str:
        text = t.remove_lines(text, lambda row: row.startswith("Sum: "))
        small = list(range(1, self.n))
        parts = [*small, self.total - sum(small)]
        return t.insert_block(text, f"Sum: {' + '.join(map(str, parts))}", rng)

    def violate(self, text: str) -> str:
        return text.replace("Sum: ", "Sum: 1 + ")
