"""Environments of ours as tasks: `env:NAME`, `env:NAME@DIFFICULTY`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openzaya.config.rsa import Kind
from openzaya.envs import Problems
from openzaya.envs.registry import build, source_of
from openzaya.errors import EvalError
from openzaya.evals.tasks.spec import CODE, REASONING, Item, Row, TaskSpec, Verdict, ask
from openzaya.ttc.kinds import find, normalised
from openzaya.types import Problem

PREFIX, COUNT, TOKENS = "env:", 100, 32_768
MARKS: tuple[tuple[str, Kind], ...] = (("<answer>", "puzzle"), ("\\boxed", "math"), ("```", "code"))


def environment_task(name: str, params: Mapping[str, Any], count: int | None) -> TaskSpec:
    """The task `name` (`env:...`): the first `count` different problems of its test split, which
    no training of ours sees."""
    plain, at, level = name.removeprefix(PREFIX).rpartition("@")
    if not at:
        plain, level = level, "0"
    if not level.isdigit():
        raise EvalError(f"{name}: no difficulty is called {level!r}", f"write {PREFIX}{plain}@3")
    env = build(plain, params)
    problems = Problems(env, "test", int(level)).distinct(count or COUNT)
    prompt = problems[0].prompt
    kind = kind_of(prompt)

    def items(_: list[Row]) -> list[Item]:
        return [Item(p.fingerprint, ask(p.prompt), _told(p), p) for p in problems]

    def judge(item: Item, response: str | None) -> Verdict:
        score = env.score(item.private, response)
        found = find(kind, response)
        return Verdict(score, None if found is None else normalised(kind, found))

    is_code = source_of(plain) == "code"
    return TaskSpec(
        name, f"{env.family}: {env.source}, version {env.version}", None,
        CODE if is_code else REASONING, 16, TOKENS, kind, items, judge,
        needs="sandbox" if is_code else "",
    )  # fmt: skip


def kind_of(prompt: str) -> Kind:
    """The form in which a prompt asks for its answer."""
    for mark, kind in MARKS:
        if mark in prompt:
            return kind
    return "free"


def _told(problem: Problem) -> str:
    return str(problem.private.get("answer", ""))[:500]
