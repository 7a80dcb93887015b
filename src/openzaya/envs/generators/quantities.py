"""Arithmetic on written quantities: clocks, percentages, decimals and continued fractions."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from fractions import Fraction
from math import gcd
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, rational

Private = Mapping[str, Any]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class WeekdayClock(Generator):
    """A weekday and a time, moved to and fro."""

    name, family = "weekday_clock", "arithmetic"
    form = "the weekday and the time of day, such as Friday 07:05:30,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        start = rng.randrange(7 * 86400)
        moves = []
        for _ in range(2 + difficulty):
            chosen = sorted(rng.sample(range(4), rng.randint(2, 3)))
            limits = (5 + difficulty, 60, 300, 5000 + 1000 * difficulty)
            parts = [[rng.randint(2, limits[unit]), unit] for unit in chosen]
            moves.append([rng.choice((1, -1)), parts])
        lines = [
            f"{i}. {', '.join(f'{n} {UNITS[unit][0]}s' for n, unit in parts)} "
            f"{'forward' if sign > 0 else 'back'}"
            for i, (sign, parts) in enumerate(moves, 1)
        ]
        question = (
            f"A clock shows {_clock(start)} (24 hours, hours:minutes:seconds). "
            "It is moved in these steps, one after the other:\n" + "\n".join(lines) + "\n"
            "Which weekday and time does it show in the end?"
        )
        return question, {"start": start, "moves": moves}

    def solve(self, private: Private) -> str:
        """Step by step: what the clock shows after each of them."""
        now = private["start"]
        for sign, parts in private["moves"]:
            for count, unit in parts:
                now = (now + sign * count * UNITS[unit][1]) % (7 * 86400)
        return _clock(now)

    def judge(self, private: Private, answer: str) -> bool:
        match = re.fullmatch(
            r"([a-z]{6,9}),?\s+([0-9]{1,2}):([0-9]{2}):([0-9]{2})", answer.strip(" \n.,").lower()
        )
        names = [day.lower() for day in DAYS]
        if match is None or match[1] not in names:
            raise Unparseable("a weekday and a time were asked for")
        day, hour, minute, second = names.index(match[1]), *map(int, match.groups()[1:])
        if hour > 23 or minute > 59 or second > 59:
            return False
        moved = sum(
            sign * sum(count * UNITS[unit][1] for count, unit in parts)
            for sign, parts in private["moves"]
        )
        said = ((day * 24 + hour) * 60 + minute) * 60 + second
        return (said - private["start"] - moved) % (7 * 86400) == 0

    def size(self, private: Private) -> float:
        return sum(len(parts) for _, parts in private["moves"])


def _clock(second: int) -> str:
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    day, hour = divmod(hour, 24)
    return f"{DAYS[day]} {hour:02d}:{minute:02d}:{second:02d}"


class PercentChain(Generator):
    """Percentages and amounts in turn; what was there at first?"""

    name, family = "percent_chain", "arithmetic"
    form = "the number of litres as a whole number or a fraction such as 125/4"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        amount = Fraction(rng.randint(20, 400 + 100 * difficulty), rng.choice((1, 1, 2, 3, 4)))
        steps: list[list[int]] = []
        lines = []
        for i in range(2 + difficulty):
            percent = rng.choice((5, 10, 15, 20, 25, 30, 40, 50, 60, 75)) * rng.choice((1, -1))
            litres = rng.randint(1, 60) * rng.choice((1, -1))
            if i % 2 == 0:
                amount *= 1 + Fraction(percent, 100)
                steps.append([percent, 0])
                verb = "grows" if percent > 0 else "shrinks"
                lines.append(f"{i + 1}. The content {verb} by {abs(percent)} per cent of itself.")
            else:
                litres = litres if amount + litres > 0 else -litres
                amount += litres
                steps.append([0, litres])
                verb = "poured in" if litres > 0 else "drained off"
                lines.append(f"{i + 1}. Exactly {abs(litres)} litres are {verb}.")
        question = (
            "An unknown amount of water is in a tank. This happens, in this order:\n"
            + "\n".join(lines)
            + f"\nIn the end the tank holds exactly {amount} litres. How much was in it at first?"
        )
        return question, {"steps": steps, "end": str(amount)}

    def solve(self, private: Private) -> str:
        """Backwards through the steps."""
        amount = Fraction(private["end"])
        for percent, litres in reversed(private["steps"]):
            amount = (amount - litres) / (1 + Fraction(percent, 100))
        return str(amount)

    def judge(self, private: Private, answer: str) -> bool:
        amount = rational(answer)
        for percent, litres in private["steps"]:
            amount += amount * percent / 100 + litres
        return amount == Fraction(private["end"])

    def size(self, private: Private) -> float:
        return len(private["steps"])


class RepeatingDecimal(Generator):
    """A fraction as a decimal with its period; every way to write that number is right."""

    name, family = "repeating_decimal", "arithmetic"
    form = "the decimal, its period in parentheses, such as 0.41(6) or 3.25,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        while True:
            below = rng.randint(7 + 2 * difficulty, 60 + 6 * difficulty)
            above = rng.randint(1, 5 * below)
            if below % 2 and below % 5 and gcd(above, below) == 1:
                break
        scale = rng.choice((1, 2, 5, 4, 10, 8, 20))
        number = Fraction(above, below * scale)
        question = (
            f"Write {number.numerator}/{number.denominator} as a decimal number. Put the digits "
            "that repeat without end in parentheses behind the digits that do not repeat."
        )
        return question, {"above": number.numerator, "below": number.denominator}

    def solve(self, private: Private) -> str:
        """Long division, until a remainder comes back."""
        below = private["below"]
        whole, remainder = divmod(private["above"], below)
        digits: list[str] = []
        seen: dict[int, int] = {}
        while remainder and remainder not in seen:
            seen[remainder] = len(digits)
            digit, remainder = divmod(10 * remainder, below)
            digits.append(str(digit))
        text = "".join(digits)
        if remainder:
            text = f"{text[: seen[remainder]]}({text[seen[remainder] :]})"
        return f"{whole}.{text}" if text else str(whole)

    def judge(self, private: Private, answer: str) -> bool:
        match = re.fullmatch(
            r"([0-9]{1,20})(?:\.([0-9]{0,4000})(?:\(([0-9]{1,4000})\))?)?", answer.strip()
        )
        if match is None:
            raise Unparseable("a decimal number was asked for")
        whole, fixed, period = match[1], match[2] or "", match[3] or ""
        said = int(whole) + Fraction(int(fixed or "0"), 10 ** len(fixed))
        if period:
            said += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
        return said == Fraction(private["above"], private["below"])

    def size(self, private: Private) -> float:
        return private["below"]


class ContinuedFraction(Generator):
    """Both expansions of a rational number are right: [...; a] and [...; a - 1, 1]."""

    name, family = "continued_fraction", "arithmetic"
    form = "the whole numbers a0, a1, a2, ... in this order, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        length = 3 + difficulty
        terms = [
            rng.randint(0, 30),
            *(rng.choice((1, 1, 2, 3, rng.randint(1, 20))) for _ in range(length)),
            2,
        ]
        number = self._folded(terms)
        question = (
            f"Write {number} as a continued fraction a0 + 1/(a1 + 1/(a2 + 1/(...))), where all "
            "numbers from a1 on are whole and at least 1, and a0 is whole."
        )
        return question, {"number": str(number), "terms": length}

    @staticmethod
    def _folded(terms: list[int]) -> Fraction:
        value = Fraction(terms[-1])
        for term in reversed(terms[:-1]):
            value = term + 1 / value
        return value

    def solve(self, private: Private) -> str:
        """Euclid's algorithm: the quotients are the terms."""
        number = Fraction(private["number"])
        above, below = number.numerator, number.denominator
        terms = []
        while below:
            quotient, remainder = divmod(above, below)
            terms.append(quotient)
            above, below = below, remainder
        return ", ".join(map(str, terms))

    def judge(self, private: Private, answer: str) -> bool:
        said, number = integers(answer), Fraction(private["number"])
        most = number.numerator + number.denominator
        if not 1 <= len(said) <= private["terms"] + 3:
            return False
        if any(term < 1 for term in said[1:]) or max(map(abs, said)) > most:
            return False
        return self._folded(said) == number

    def size(self, private: Private) -> float:
        return private["terms"]


GENERATORS: tuple[type[Generator], ...] = (
    WeekdayClock,
    PercentChain,
    RepeatingDecimal,
    ContinuedFraction,
)
