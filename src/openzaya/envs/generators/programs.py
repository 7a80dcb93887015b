"""Small programs in languages that the prompt explains: run them, or find what to put in."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integer, integers

Private = Mapping[str, Any]
NEEDS = {"add": 2, "sub": 2, "mul": 2, "dup": 1, "swap": 2, "over": 2, "rot": 3, "drop": 1}
"""Operations of the stack machine, and how many numbers each needs."""


class StackProgram(Generator):
    """A program for a stack machine."""

    name, family = "stack_program", "programs"
    form = "the numbers on the stack from the bottom to the top, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        steps: list[str] = []
        depth = 0
        while len(steps) < 10 + 3 * difficulty or depth < 2:
            # The stack stays between 3 and 8 numbers high, once it is there.
            ways = [op for op, need in NEEDS.items() if need <= depth]
            if depth < 4 or (depth < 8 and rng.random() < 0.3):
                step = str(rng.randint(2, 99))
            else:
                step = rng.choice([w for w in ways if w != "drop" or rng.random() < 0.2])
            steps.append(step)
            depth += {"add": -1, "sub": -1, "mul": -1, "drop": -1, "swap": 0, "rot": 0}.get(step, 1)
        question = (
            "A stack machine runs this program from left to right:\n"
            + " ".join(steps)
            + "\nA number is put on top of the stack. add, sub and mul take the two topmost numbers"
            " away and put their sum, the lower one minus the upper one, or their product on top, "
            "each reduced modulo 1000 to 0 ... 999. dup copies the top, over puts a copy of the "
            "number below the top on top, swap exchanges the two topmost numbers, rot brings the "
            "third number from the top to the top, drop removes the top. The stack is empty at "
            "first. What does it hold in the end?"
        )
        return question, {"steps": steps}

    def solve(self, private: Private) -> str:
        stack: list[int] = []
        for step in private["steps"]:
            match step:
                case "add" | "sub" | "mul":
                    upper, lower = stack.pop(), stack.pop()
                    result = {"add": lower + upper, "sub": lower - upper, "mul": lower * upper}
                    stack.append(result[step] % 1000)
                case "dup":
                    stack.append(stack[-1])
                case "over":
                    stack.append(stack[-2])
                case "swap":
                    stack[-2:] = stack[-1], stack[-2]
                case "rot":
                    stack.append(stack.pop(-3))
                case "drop":
                    stack.pop()
                case number:
                    stack.append(int(number))
        return ", ".join(map(str, stack))

    def judge(self, private: Private, answer: str) -> bool:
        """As exact formulas: what moves on the stack is where a value was made, reduced last."""
        values: list[int] = []
        stack: list[int] = []  # places in `values`, top first
        for step in private["steps"]:
            if step in ("add", "sub", "mul"):
                y, x, *rest = stack
                a, b = values[x], values[y]
                values.append(a + b if step == "add" else a - b if step == "sub" else a * b % 1000)
                stack = [len(values) - 1, *rest]
            elif step in NEEDS:
                order = {"dup": (0, 0), "over": (1, 0, 1), "swap": (1, 0), "rot": (2, 0, 1)}
                kept = order.get(step, ())
                stack = [stack[i] for i in kept] + stack[NEEDS[step] :]
            else:
                values.append(int(step))
                stack = [len(values) - 1, *stack]
        return integers(answer) == [values[i] % 1000 for i in reversed(stack)]

    def size(self, private: Private) -> float:
        return len(private["steps"])


class ImperativeOutput(Generator):
    """Loops and branches over a few variables."""

    name, family = "imperative_output", "programs"
    form = "the final values of all variables in the order of the first line, separated by commas,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        names = ["a", "b", "c", "d", "e", "f"][: 3 + min(difficulty // 8, 3)]
        start = [rng.randint(1, 30) for _ in names]
        body = self._block(rng, 12 + 4 * difficulty, 2 + difficulty // 10, names)
        first = ", ".join(f"{name} = {value}" for name, value in zip(names, start, strict=True))
        question = (
            "A program is given. Indented lines belong to the repeat, if or else above them; "
            "x mod y is the remainder of x on division by y.\n"
            + "\n".join([first, *self._lines(body, "")])
            + "\nWhat are the values of the variables after it has run?"
        )
        return question, {"names": names, "start": start, "body": body}

    def _block(self, rng: random.Random, budget: int, depth: int, names: list[str]) -> list[Any]:
        """Statements that run about `budget` assignments."""
        block: list[Any] = []
        while budget > 0:
            draw = rng.random()
            if depth and budget >= 6 and draw < 0.45:
                times, spent = rng.randint(2, 5), rng.randint(budget // 2, budget)
                block.append(["repeat", times, self._block(rng, spent // times, depth - 1, names)])
                budget -= spent
            elif depth and budget >= 4 and draw < 0.65:
                test = [rng.choice(names), rng.randint(2, 4)]
                spent = rng.randint(2, 3)
                ways = [self._block(rng, spent, 0, names) for _ in range(2)]
                block.append(["if", *test, rng.randrange(test[1]), *ways])
                budget -= spent
            else:
                into, p, q = (rng.choice(names) for _ in range(3))
                modulus = rng.choice((97, 100, 101, 64, 89))
                block.append(["set", into, p, rng.randint(1, 9), q, rng.randint(0, 9), modulus])
                budget -= 1
        return block or [["set", names[0], names[0], 1, names[1], 1, 100]]

    def _lines(self, block: list[Any], indent: str) -> list[str]:
        lines = []
        for statement in block:
            match statement:
                case ["set", into, p, k, q, c, modulus]:
                    lines.append(f"{indent}{into} = ({k} * {p} + {q} + {c}) mod {modulus}")
                case ["repeat", times, body]:
                    lines += [f"{indent}repeat {times} times:", *self._lines(body, indent + "    ")]
                case ["if", name, divisor, rest, yes, no]:
                    lines += [f"{indent}if {name} mod {divisor} = {rest}:"]
                    lines += self._lines(yes, indent + "    ")
                    lines += [f"{indent}else:", *self._lines(no, indent + "    ")]
        return lines

    def solve(self, private: Private) -> str:
        """By walking through the tree of statements."""
        values = dict(zip(private["names"], private["start"], strict=True))
        self._run(private["body"], values)
        return ", ".join(str(values[name]) for name in private["names"])

    def _run(self, block: list[Any], values: dict[str, int]) -> None:
        for statement in block:
            match statement:
                case ["set", into, p, k, q, c, modulus]:
                    values[into] = (k * values[p] + values[q] + c) % modulus
                case ["repeat", times, body]:
                    for _ in range(times):
                        self._run(body, values)
                case ["if", name, divisor, rest, yes, no]:
                    self._run(yes if values[name] % divisor == rest else no, values)

    def judge(self, private: Private, answer: str) -> bool:
        """From the text of the program, line by line, with the indents as the prompt says."""
        lines = self._lines(private["body"], "")
        depths = [(len(line) - len(line.lstrip())) // 4 for line in lines]

        def end_of(at: int) -> int:
            """The first line behind `at` that is not deeper."""
            return next(
                (i for i in range(at + 1, len(lines)) if depths[i] <= depths[at]), len(lines)
            )

        values = dict(zip(private["names"], private["start"], strict=True))
        todo = [(0, len(lines))]  # stretches of lines, the next one last
        while todo:
            at, end = todo.pop()
            if at >= end:
                continue
            words, stop = (
                lines[at].replace(":", "").replace("(", "").replace(")", "").split(),
                end_of(at),
            )
            if words[0] == "repeat":
                todo += [(stop, end), *[(at + 1, stop)] * int(words[1])]
            elif words[0] == "if":
                after = end_of(stop)  # an else always follows
                holds = values[words[1]] % int(words[3]) == int(words[5])
                todo += [(after, end), (at + 1, stop) if holds else (stop + 1, after)]
            else:  # into = k * p + q + c mod m
                result = int(words[2]) * values[words[4]] + values[words[6]] + int(words[8])
                values[words[0]] = result % int(words[10])
                todo.append((at + 1, end))
        return integers(answer) == [values[name] for name in private["names"]]

    def size(self, private: Private) -> float:
        return len(self._lines(private["body"], ""))


class ProgramInput(Generator):
    """Which input makes the program print this? Every input that does is right."""

    name, family = "program_input", "programs"
    form = "the input as a whole number"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        modulus = rng.randint(150, 300) * (1 + difficulty)
        steps = []
        for _ in range(2 + difficulty // 2):
            k = rng.randint(2, 5)
            steps.append([k, rng.randint(2, 40), rng.randint(1, modulus - 1)])
        planted = rng.randrange(modulus)
        lines = [
            f"{i}. If x is divisible by {k}, x becomes x / {k}; if not, x becomes "
            f"({a} x + {b}) mod {modulus}."
            for i, (k, a, b) in enumerate(steps, 1)
        ]
        private = {"modulus": modulus, "steps": steps, "planted": planted}
        question = (
            f"A program reads a whole number x from 0 to {modulus - 1}, runs these steps once, one "
            f"after the other, and prints x. (y mod {modulus} is the remainder of y on division by "
            f"{modulus}.)\n"
            + "\n".join(lines)
            + f"\nFind an input for which it prints {self._run(private, planted)}. Any is accepted."
        )
        return question, private

    @staticmethod
    def _run(private: Private, x: int) -> int:
        for k, a, b in private["steps"]:
            x = x // k if x % k == 0 else (a * x + b) % private["modulus"]
        return x

    def solve(self, private: Private) -> str:
        return str(private["planted"])

    def judge(self, private: Private, answer: str) -> bool:
        said = integer(answer)
        if not 0 <= said < private["modulus"]:
            return False
        return self._run(private, said) == self._run(private, private["planted"])

    def size(self, private: Private) -> float:
        return private["modulus"] * len(private["steps"])


class CircuitInputs(Generator):
    """Inputs of a circuit for given outputs; every assignment that gives them is right."""

    name, family = "circuit_inputs", "programs"
    form = "the inputs x1, x2, ... as a row of digits 0 and 1 without spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        inputs, outputs = 8 + difficulty // 2, 6 + difficulty // 3
        while True:
            gates, planted = self._drawn(rng, inputs, inputs + 4 + 2 * difficulty)
            target = self._signals(gates, planted)[-outputs:]
            tries = ([rng.randint(0, 1) for _ in planted] for _ in range(60))
            # Gates that are nearly always 1 would let most inputs pass.
            if sum(self._signals(gates, t)[-outputs:] == target for t in tries) <= 2:
                break
        names = [f"x{i + 1}" for i in range(inputs)] + [f"g{i + 1}" for i in range(len(gates))]
        lines = [f"g{i} = {names[a]} {op} {names[b]}" for i, (op, a, b) in enumerate(gates, 1)]
        wanted = ", ".join(f"{n} = {v}" for n, v in zip(names[-outputs:], target, strict=True))
        question = (
            f"A circuit has the inputs x1 to x{inputs}, each 0 or 1, and these gates (XOR is 1 if "
            "exactly one side is 1, NAND is 0 if both are 1 and else 1):\n"
            + "\n".join(lines)
            + f"\nFind inputs for which {wanted}. Any such inputs are accepted."
        )
        return question, {"gates": gates, "planted": planted, "target": target}

    @staticmethod
    def _drawn(rng: random.Random, inputs: int, count: int) -> tuple[list[list[Any]], list[int]]:
        """Random gates, each fed by two of the latest signals, and random inputs."""
        gates: list[list[Any]] = []
        for known in range(inputs, inputs + count):
            left, right = rng.sample(range(max(0, known - inputs - 2), known), 2)
            gates.append([rng.choice(("AND", "OR", "XOR", "XOR", "NAND")), left, right])
        return gates, [rng.randint(0, 1) for _ in range(inputs)]

    @staticmethod
    def _signals(gates: Sequence[Sequence[Any]], inputs: Sequence[int]) -> list[int]:
        signals = list(inputs)
        for operation, left, right in gates:
            a, b = signals[left], signals[right]
            table = {"AND": a & b, "OR": a | b, "XOR": a ^ b, "NAND": 1 - (a & b)}
            signals.append(table[operation])
        return signals

    def solve(self, private: Private) -> str:
        return "".join(map(str, private["planted"]))

    def judge(self, private: Private, answer: str) -> bool:
        bits = "".join(answer.split())
        if not re.fullmatch(r"[01]{1,10000}", bits):
            raise Unparseable("a row of digits 0 and 1 was asked for")
        if len(bits) != len(private["planted"]):
            return False
        signals = self._signals(private["gates"], [int(bit) for bit in bits])
        return signals[-len(private["target"]) :] == private["target"]

    def size(self, private: Private) -> float:
        return len(private["gates"])


GENERATORS: tuple[type[Generator], ...] = (
    StackProgram,
    ImperativeOutput,
    ProgramInput,
    CircuitInputs,
)
