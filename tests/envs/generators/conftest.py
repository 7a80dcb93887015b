"""What the families' tests share: a judge held against an enumeration of all answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from openzaya.envs.generators.base import Generator
from openzaya.types import Outcome, Problem

Costs = Iterable[tuple[str, float | None]]
"""(answer, what it costs); None: it breaks a rule. The right answers are the cheapest ones."""


def _outcome(env: Generator, private: Mapping[str, Any], text: str) -> Outcome:
    return env.score(Problem(env.name, 0, "", private), f"<answer>{text}</answer>").outcome


def _check(env: Generator, private: Mapping[str, Any], costs: Costs) -> int:
    """The judge accepts exactly the cheapest answers of an enumerated space, among them the
    solver's; slips of the pen in these are scores. Returns how many answers are right."""
    table = dict(costs)
    best = min(cost for cost in table.values() if cost is not None)
    right = {text for text, cost in table.items() if cost == best}
    assert len(right) < len(table), "nothing to reject"
    assert env.solve(private) in right, (env.solve(private), sorted(right)[:5])
    for text in table:
        accepted = _outcome(env, private, text) is Outcome.CORRECT
        assert accepted == (text in right), (env.name, dict(private), text, table[text], best)
    for empty in ("", ",", ";", "[]", "-"):
        assert _outcome(env, private, empty) in (Outcome.WRONG, Outcome.UNPARSEABLE)
    rng = random.Random(repr(sorted(private)))
    for _ in range(10):
        slip = list(env.solve(private))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(slip) + 1)
            slip[at : at + rng.randint(0, 2)] = rng.choice(["", "7", " ", "-", ";", "\n", "٣", "#"])
        assert _outcome(env, private, "".join(slip)) is not Outcome.VERIFIER_ERROR
    return len(right)


@pytest.fixture(scope="session")
def enumerated() -> Callable[[Generator, Mapping[str, Any], Costs], int]:
    return _check


@pytest.fixture(scope="session")
def drawn() -> Callable[[Generator, int, int], dict[str, Any]]:
    """(env, seed, difficulty) -> private. Difficulties below 0 give instances small enough to
    enumerate all their answers; nobody else asks for them."""

    def draw(env: Generator, seed: int, difficulty: int) -> dict[str, Any]:
        return env.make(random.Random(seed), difficulty)[1]

    return draw


@pytest.fixture(scope="session")
def only() -> Callable[[Generator, Mapping[str, Any], int], int]:
    """(env, private, number): this whole number is right and others near and far are not."""

    def check(env: Generator, private: Mapping[str, Any], right: int) -> int:
        near = {right + step for step in (-100, -10, -2, -1, 1, 2, 10, 100)}
        wrong = sorted((near | {0, 1, 2 * right, -right}) - {right})
        return _check(env, private, [(str(right), 0.0), *((str(n), None) for n in wrong)])

    return check
