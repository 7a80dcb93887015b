"""Arithmetic in many exact steps: expressions, fractions, foreign bases and units, clocks."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Any

from openzaya.envs.expressions import NotAnExpression, number, whole_numbers
from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, rational

Private = Mapping[str, Any]
DIGITS = "0123456789ABCDEF"
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class NestedExpression(Generator):
    """Four operations, precedence and parentheses over exact fractions."""

    name, family = "nested_expression", "arithmetic"
    form = "the exact value as a whole number or a fraction such as -7/3"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        tree, _ = self._grow(rng, 4 + difficulty, 9 + difficulty)
        text = self._written(tree)
        question = (
            "Compute the exact value of this expression. * and / bind more strongly than + and -; "
            f"operators that bind equally are applied from left to right.\n{text}"
        )
        return question, {"tree": tree, "text": text}

    def _grow(self, rng: random.Random, leaves: int, largest: int) -> tuple[Any, Fraction]:
        """A random tree [operator, left, right] and its value; no divisor is 0."""
        if leaves == 1:
            leaf = rng.randint(1, largest)
            return leaf, Fraction(leaf)
        cut = rng.randint(1, leaves - 1)
        left, a = self._grow(rng, cut, largest)
        right, b = self._grow(rng, leaves - cut, largest)
        sign = rng.choice("++--**/") if b else rng.choice("+-")
        return [sign, left, right], OPERATIONS[sign](a, b)

    def _written(self, tree: Any) -> str:
        """With the parentheses that the tree needs, and no others."""
        if isinstance(tree, int):
            return str(tree)
        sign, left, right = tree
        strong = sign in "*/"
        texts = [self._written(left), self._written(right)]
        if strong and isinstance(left, list) and left[0] in "+-":
            texts[0] = f"({texts[0]})"
        if isinstance(right, list) and (strong or right[0] in "+-"):
            texts[1] = f"({texts[1]})"
        return f" {sign} ".join(texts)

    def solve(self, private: Private) -> str:
        return str(self._value(private["tree"]))

    def _value(self, tree: Any) -> Fraction:
        if isinstance(tree, int):
            return Fraction(tree)
        return OPERATIONS[tree[0]](self._value(tree[1]), self._value(tree[2]))

    def judge(self, private: Private, answer: str) -> bool:
        return rational(answer) == number(private["text"])

    def size(self, private: Private) -> float:
        return len(private["text"])


class BaseProduct(Generator):
    """Long multiplication where the digits are not decimal."""

    name, family = "base_product", "arithmetic"
    form = "the digits of the product in the same base (A to F stand for 10 to 15)"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        base = rng.choice([b for b in range(3, 17) if b != 10])
        length = 2 + difficulty
        factors = [
            [rng.randint(1, base - 1), *(rng.randrange(base) for _ in range(length - 1))]
            for _ in range(2)
        ]
        a, b = ("".join(DIGITS[digit] for digit in factor) for factor in factors)
        question = (
            f"The numbers {a} and {b} are written in base {base}"
            f"{' (A stands for 10, B for 11 and so on)' if base > 10 else ''}. "
            f"Multiply them and write the product in base {base}."
        )
        return question, {"base": base, "factors": factors}

    def solve(self, private: Private) -> str:
        """As by hand: digit times digit into columns, then the carries."""
        base, (a, b) = private["base"], private["factors"]
        columns = [0] * (len(a) + len(b))
        for i, x in enumerate(reversed(a)):
            for j, y in enumerate(reversed(b)):
                columns[i + j] += x * y
        for i in range(len(columns) - 1):
            carry, columns[i] = divmod(columns[i], base)
            columns[i + 1] += carry
        return "".join(DIGITS[digit] for digit in reversed(columns)).lstrip("0")

    def judge(self, private: Private, answer: str) -> bool:
        base, said = private["base"], answer.strip().upper()
        if not re.fullmatch(f"[{DIGITS[:base]}]{{1,4000}}", said):
            raise Unparseable(f"digits of base {base} were asked for")
        a, b = ("".join(DIGITS[digit] for digit in factor) for factor in private["factors"])
        return int(said, base) == int(a, base) * int(b, base)

    def size(self, private: Private) -> float:
        return len(private["factors"][0])


class EgyptianFractions(Generator):
    """A fraction as a sum of different unit fractions; any such sum is right."""

    name, family = "egyptian_fractions", "arithmetic"
    form = "the denominators, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count, largest = 3 + difficulty // 3, 24 + 6 * difficulty
        planted = sorted(rng.sample(range(2, largest + 1), count))
        total = sum(Fraction(1, d) for d in planted)
        question = (
            f"Write {total} as a sum of exactly {count} unit fractions 1/d. The denominators d are "
            f"different whole numbers from 2 to {largest}. Any such sum is accepted."
        )
        return question, {"total": str(total), "largest": largest, "planted": planted}

    def solve(self, private: Private) -> str:
        return ", ".join(map(str, private["planted"]))

    def judge(self, private: Private, answer: str) -> bool:
        said = integers(answer, len(private["planted"]))
        if len(set(said)) < len(said) or not all(2 <= d <= private["largest"] for d in said):
            return False
        return sum(Fraction(1, d) for d in said) == Fraction(private["total"])

    def size(self, private: Private) -> float:
        return len(private["planted"])


class TargetExpression(Generator):
    """Reach a number from given numbers, each used once; any expression that does is right."""

    name, family = "target_expression", "arithmetic"
    form = "one expression in the given numbers, without an equals sign,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        count, largest = 4 + difficulty // 2, 10 + 2 * difficulty
        while True:
            numbers = [rng.randint(1, largest) for _ in range(count)]
            target, planted = self._combined(rng, numbers, 20 * largest)
            if target > largest and target != sum(numbers):
                break
        question = (
            f"Combine the numbers {', '.join(map(str, numbers))} into an expression whose value is "
            f"{target}. Use every listed number exactly once (a number that is listed twice, "
            "twice), the operations +, -, * and / between two values, and parentheses as you like. "
            "A minus sign in front of a value is allowed, joining digits is not. Fractions may "
            "occur on the way; * and / bind more strongly than + and -."
        )
        return question, {"numbers": numbers, "target": target, "planted": planted}

    def _combined(self, rng: random.Random, numbers: list[int], most: int) -> tuple[int, str]:
        """Two values at a time become one, until one is left: its value and its expression."""
        parts = [(number, str(number)) for number in numbers]
        while len(parts) > 1:
            (a, left), (b, right) = (parts.pop(rng.randrange(len(parts))) for _ in range(2))
            ways = [(a + b, "+")] if a + b <= most else []
            ways += [(a - b, "-")] if a > b else []
            ways += [(a * b, "*")] if a > 1 and b > 1 and a * b <= most else []
            ways += [(a // b, "/")] if b > 1 and a % b == 0 else []
            value, sign = rng.choice(ways or [(a * b, "*")])
            parts.append((value, f"({left} {sign} {right})"))
        value, text = parts[0]
        return value, text[1:-1]

    def solve(self, private: Private) -> str:
        return private["planted"]

    def judge(self, private: Private, answer: str) -> bool:
        if not re.fullmatch(r"[-+*/()×÷0-9\s]+", answer) or re.search(r"\*\s*\*|/\s*/", answer):
            raise Unparseable("an expression in numbers, + - * / and parentheses was asked for")
        try:
            used = sorted(whole_numbers(answer))
            return used == sorted(private["numbers"]) and number(answer) == private["target"]
        except NotAnExpression as error:
            raise Unparseable(str(error)) from None

    def size(self, private: Private) -> float:
        return len(private["numbers"])


class MixedRadixSum(Generator):
    """Sums of amounts in units whose ratios are all different."""

    name, family = "mixed_radix_sum", "arithmetic"
    form = "one whole number for each unit, the largest unit first, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        units = 3 + difficulty // 5
        ratios = [rng.randint(3, 30 + difficulty) for _ in range(units - 1)]
        names: list[str] = []
        while len(names) < units:
            name = "".join(map(rng.choice, ("bdfgklmnprtvz", "aeiou", "bdfgklmnprtvz")))
            if name not in names:
                names.append(name)
        amounts = []
        for _ in range(3 + difficulty // 2):
            amount = [rng.randint(1, 40), *(rng.randrange(ratio) for ratio in ratios)]
            amounts.append([rng.randint(2, 9 + difficulty), amount])
        rules = [f"1 {a} is {r} {b}" for a, b, r in zip(names, names[1:], ratios, strict=False)]
        lines = [
            f"{times} times ({', '.join(f'{n} {u}' for n, u in zip(amount, names, strict=True))})"
            for times, amount in amounts
        ]
        question = (
            f"A people measures in the units {', '.join(names)}: {'; '.join(rules)}. "
            "Add these amounts:\n" + "\n".join(lines) + "\n"
            "Write the total so that every unit but the largest counts fewer than make up one of "
            f"the next larger unit. Order of the units: {', '.join(names)}."
        )
        return question, {"ratios": ratios, "amounts": amounts}

    def solve(self, private: Private) -> str:
        """Unit by unit, from the smallest, with carries."""
        ratios, digits, carry = private["ratios"], [], 0
        for place in range(len(ratios), 0, -1):
            carry += sum(times * amount[place] for times, amount in private["amounts"])
            carry, digit = divmod(carry, ratios[place - 1])
            digits.append(digit)
        digits.append(carry + sum(times * amount[0] for times, amount in private["amounts"]))
        return ", ".join(map(str, reversed(digits)))

    def judge(self, private: Private, answer: str) -> bool:
        ratios = private["ratios"]
        said = integers(answer, len(ratios) + 1)
        if not all(0 <= n < r for n, r in zip(said[1:], ratios, strict=True)):
            return False
        worth = [prod(ratios[i:]) for i in range(len(ratios) + 1)]

        def smallest(amount: list[int]) -> int:
            return sum(n * w for n, w in zip(amount, worth, strict=True))

        return smallest(said) == sum(
            times * smallest(amount) for times, amount in private["amounts"]
        )

    def size(self, private: Private) -> float:
        return len(private["amounts"]) * (len(private["ratios"]) + 1)


GENERATORS: tuple[type[Generator], ...] = (
    NestedExpression,
    BaseProduct,
    EgyptianFractions,
    TargetExpression,
    MixedRadixSum,
)
