"""The worker's side of Enigmata, and the mends of what its adapter must not let through.

Its modules are scripts: generators draw from the global generators and from the clock, and four
verifiers hand a model's text to `eval`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import json
import os
import random
import sys
import time
import types
from typing import Any

import numpy as np

from openzaya.envs.expressions import literal, number

LEVELS = ("easy", "medium", "hard")
WITHOUT_EASY = ("hitori", "light_up", "tic_tac_toe")
EVALS = {"game24": number, "countdown": number, "minesweeper": literal, "kakurasu": literal}
"""Verifiers that evaluate an answer, and what they may read instead."""


def start(path: str) -> None:
    sys.path.insert(0, path)
    os.chdir(path)  # some read their word lists beside the scripts
    bars = types.ModuleType("tqdm")
    bars.__dict__["tqdm"] = _Bar
    sys.modules["tqdm"] = bars


class _Bar:
    """In place of tqdm's progress bars, which would be all that worker processes print."""

    def __init__(self, items: Any = (), **kwargs: Any) -> None:
        self.items = items

    def __iter__(self) -> Any:
        return iter(self.items)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def levels(task: str) -> tuple[str, ...]:
    return LEVELS[1:] if task in WITHOUT_EASY else LEVELS


@functools.cache
def _module(task: str, part: str) -> Any:
    module = importlib.import_module(f"verifiable_tasks.tasks.{task}.{part}")
    if part == "verifier" and task in EVALS:
        module.__dict__["eval"] = EVALS[task]
    return module


def generate(task: str, difficulty: int, seed: int) -> dict[str, Any]:
    generator = _module(task, "generator")
    start = random.Random(f"{task}:{difficulty}:{seed}").randrange(2**31)
    random.seed(start)
    np.random.seed(start)
    ticks = itertools.count(start * 1_000_000_007)
    real, time.time_ns = time.time_ns, lambda: next(ticks)  # one seeds itself by the clock
    try:
        row = next(iter(generator.generate(1, difficulty=levels(task)[difficulty], language="en")))
    finally:
        time.time_ns = real
    private = {"answer": row["answer"], "meta": row["meta"]}
    answer = row["answer"] if isinstance(row["answer"], str) else json.dumps(row["answer"])
    for text in (answer, f"```\n{answer}\n```", f"```python\n{answer}\n```"):
        with contextlib.suppress(Exception):  # stored answers are not always in the form asked for
            if score(task, difficulty, private, text).get("credit") == 1.0:
                private["solution"] = text
                break
    return {"prompt": row["prompt"], "private": json.loads(json.dumps(private, default=str))}


def score(task: str, difficulty: int, private: dict[str, Any], answer: str) -> dict[str, Any]:
    try:
        credit = _module(task, "verifier").verify(answer, private["answer"], private["meta"])
        return {"credit": min(max(float(credit), 0.0), 1.0)}
    except Exception as error:
        return {"stumbled": f"{type(error).__name__}: {str(error)[:200]}"}


CALLS = {"levels": levels, "generate": generate, "score": score}
