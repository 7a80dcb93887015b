"""Think about a program without running it: its output, an input for an output, its fault."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from openzaya.envs.code import extract
from openzaya.envs.code.compare import agrees, same, same_tokens
from openzaya.envs.code.families import (
    CodeEnvironment,
    fenced,
    packed,
    show_expected,
    show_given,
    signature,
    telling_test,
    unpacked,
)
from openzaya.envs.code.judge import OUTCOMES
from openzaya.envs.code.problem import Problem as Task
from openzaya.envs.sandbox import Program, Status
from openzaya.envs.sandbox.driver import decode, encode
from openzaya.types import Outcome, Score

INPUT_FORM = "Give the arguments, parted by commas, as Python values inside <answer></answer>."
STREAM_FORM = "Give the whole standard input inside <answer></answer>."


class OutputPrediction(CodeEnvironment):
    """What does this program give for that input?"""

    name = "code_output_prediction"

    def usable(self, task: Task) -> bool:
        return super().usable(task) and task.result != "bool" and task.judge is None

    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        test = telling_test(task, rng, difficulty)
        given = show_given(task, test.given)
        code = fenced(task.reference() or "", "python")
        if task.entry is None:
            asked = f"This program reads\n{fenced(given)}\nWhat does it write? Give it inside"
        else:
            asked = f"What is `{task.entry}({given})`? Give the value, as Python writes it, inside"
        prompt = f"{code}\n\n{asked} <answer></answer>. Do not run it."
        return prompt, {"given": packed(test.given), "expected": encode(test.expected)}

    def verdict(self, task: Task, private: Mapping[str, Any], text: str) -> Score:
        said, form = extract.answer(text)
        expected = decode(private["expected"])
        if task.entry is None:
            right = same_tokens(expected.encode(), said.encode("utf-8", "replace"))
        else:
            right = same(expected, extract.value(said, task.result), task.comparison)
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG, form)

    def solution(self, task: Task, private: Mapping[str, Any]) -> str | None:
        return f"<answer>{show_expected(task, decode(private['expected']))}</answer>"


class InputPrediction(CodeEnvironment):
    """For which input does this program give that output? Any allowed one counts."""

    name = "code_input_prediction"

    def usable(self, task: Task) -> bool:
        return super().usable(task) and task.result != "bool" and task.judge is None

    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        test = telling_test(task, rng, difficulty)
        code, wanted = fenced(task.reference() or "", "python"), show_expected(task, test.expected)
        rules = f"Allowed inputs:\n{fenced(task.validator, 'python')}\n\n" if task.validator else ""
        if task.entry is None:
            asked = f"Find an input for which the program writes\n{fenced(wanted)}\n{STREAM_FORM}"
        else:
            asked = f"Find arguments for which `{task.entry}` returns `{wanted}`. {INPUT_FORM}"
        private = {"given": packed(test.given), "expected": encode(test.expected)}
        return f"{code}\n\n{rules}{asked}", private

    def verdict(self, task: Task, private: Mapping[str, Any], text: str) -> Score:
        said, form = extract.answer(text)
        given = extract.arguments(said, task)
        allowed, run = self.run_reference(task, given, check=True)
        if not allowed:
            return not_allowed(run.status, run.reason, form)
        right = agrees(decode(private["expected"]), run, task.comparison)
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG, form)

    def solution(self, task: Task, private: Mapping[str, Any]) -> str | None:
        return f"<answer>{show_given(task, unpacked(private['given']))}</answer>"


class Falsification(CodeEnvironment):
    """Find an allowed input for which a faulty program disagrees with the reference."""

    name = "code_falsification"

    def usable(self, task: Task) -> bool:
        return (
            super().usable(task)
            and task.judge is None
            and any(s.language == "python" for s in task.rejected)
        )

    def ask(self, task: Task, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        faulty = rng.choice([s for s in task.rejected if s.language == "python"])
        form = STREAM_FORM if task.entry is None else INPUT_FORM
        types = f"It should be a function `{signature(task, str(task.entry))}`." if (
            task.typed) else ""  # fmt: skip
        rules = f"Allowed inputs:\n{fenced(task.validator, 'python')}" if task.validator else ""
        parts = [
            task.statement,
            types,
            rules,
            f"This program is wrong:\n{fenced(faulty.code, 'python')}",
            f"Find an allowed input for which it gives a wrong result or fails. {form}",
        ]
        return "\n\n".join(part for part in parts if part), {"faulty": faulty.code}

    def verdict(self, task: Task, private: Mapping[str, Any], text: str) -> Score:
        said, form = extract.answer(text)
        given = extract.arguments(said, task)
        allowed, trusted = self.run_reference(task, given, check=True)
        if not allowed:
            return not_allowed(trusted.status, trusted.reason, form)
        program = Program("python", private["faulty"], task.entry)
        run = self.sandbox.run(program, [given], task.limits)[0]
        if run.status in (Status.TIMEOUT, Status.FAILED):
            return Score(0.0, OUTCOMES[run.status], form, run.reason)
        expected = trusted.stdout if task.entry is None else trusted.value
        breaks = not agrees(expected, run, task.comparison)
        reason = f"{run.reason}" if breaks else "both agree"
        return Score(float(breaks), Outcome.CORRECT if breaks else Outcome.WRONG, form, reason)

    def solution(self, task: Task, private: Mapping[str, Any]) -> str | None:
        program = Program("python", private["faulty"], task.entry)
        runs = self.sandbox.run(program, [test.given for test in task.hidden], task.limits)
        for test, run in zip(task.hidden, runs, strict=False):
            settled = run.status not in (Status.TIMEOUT, Status.FAILED)
            if settled and not agrees(test.expected, run, task.comparison):
                return f"<answer>{show_given(task, test.given)}</answer>"
        return None


def not_allowed(status: Status, reason: str, form: bool) -> Score:
    """An input that the validator or the reference does not take."""
    if status in (Status.OK, Status.ERROR):
        return Score(0.0, Outcome.WRONG, form, f"not an allowed input {reason}".strip()[:200])
    return Score(0.0, OUTCOMES[status], form, reason)
