"""A file of problems with known answers, as an environment: GSM8K, competition sets, your own."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from openzaya.answers import last_boxed
from openzaya.envs.base import fingerprint
from openzaya.envs.math.verify import verify
from openzaya.errors import EnvError
from openzaya.types import Message, Problem, Score

_FORM = "Put the final answer inside \\boxed{}."


class MathProblems:
    r"""Rows of a JSONL file. The answer is what follows `####` (GSM8K), or the last \boxed{}, or
    the whole field. Seeds draw rows, with repetition; there is one difficulty."""

    name = "math_problems"
    family = "math"
    source = "a file of yours"
    licence = "the file's"
    max_difficulty = 0

    def __init__(self, path: str, question: str = "question", answer: str = "answer") -> None:
        file = Path(path)
        if not file.is_file():
            raise EnvError(f"math_problems: there is no file {path}", "set params.path to a JSONL")
        data = file.read_bytes()
        self.version = hashlib.blake2b(data, digest_size=6).hexdigest()
        lines = data.decode("utf-8", "replace").splitlines()
        rows = [_row(line, n + 1, path) for n, line in enumerate(lines) if line.strip()]
        self.rows = [_pair(row, question, answer, path) for row in rows]
        if not self.rows:
            raise EnvError(
                f"math_problems: {path} has no rows", "give a JSONL with one problem a line"
            )

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        # Drawn, not counted: callers step their seeds by amounts that may divide the file's length.
        question, answer = self.rows[random.Random(f"row:{seed}").randrange(len(self.rows))]
        prompt = f"{question}\n{_FORM}"
        return Problem(self.name, seed, prompt, {"answer": answer}, fingerprint(prompt))

    def score(self, problem: Problem, answer: str | None) -> Score:
        return verify(problem.private["answer"], answer)

    def oracle(self, problem: Problem) -> Message:
        return Message("assistant", f"\\boxed{{{problem.private['answer']}}}")


def _row(line: str, number: int, path: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise EnvError(
            f"math_problems: line {number} of {path} is no JSON object", "see JSON Lines"
        )
    return row


def _pair(row: dict[str, Any], question: str, answer: str, path: str) -> tuple[str, str]:
    if question not in row or answer not in row:
        raise EnvError(
            f"math_problems: a row of {path} has no {question!r} or no {answer!r}",
            f"set params.question and params.answer; this row has {', '.join(row)}",
        )
    text = str(row[answer])
    if "####" in text:
        return str(row[question]), text.rsplit("####", 1)[1].strip()
    return str(row[question]), last_boxed(text) or text.strip()
