"""Environments: solutions score 1, mistakes and junk score 0, splits never share a problem."""

from __future__ import annotations

import random
import subprocess
import sys
from decimal import Decimal

import pytest

from openzaya.envs import SPLITS, Problems, WorkedEnvironment, build, worked, worked_names
from openzaya.errors import EnvError

JUNK = ["", None, " ", "0", "1", "True", "banana", "é" * 10, "9" * 100_000, "__import__('os')"]


@pytest.fixture(scope="module", params=worked_names())
def env(request: pytest.FixtureRequest) -> WorkedEnvironment:
    return worked(build(request.param, {}))


def test_oracle_scores_one_and_mistakes_score_zero(env: WorkedEnvironment) -> None:
    rng = random.Random(0)
    for seed in range(200):
        problem = env.generate(seed)
        assert env.score(problem, env.oracle(problem).content).correct
        assert not env.score(problem, env.mistake(problem, rng).content).correct


@pytest.mark.parametrize("junk", JUNK, ids=[str(i) for i in range(len(JUNK))])
def test_junk_is_a_score(env: WorkedEnvironment, junk: str | None) -> None:
    right = sum(env.score(env.generate(seed, 2), junk).correct for seed in range(30))
    assert right <= 3  # chance, for one-digit answers


def test_generation_is_pure_across_processes(env: WorkedEnvironment) -> None:
    code = (
        "from openzaya.envs import build\n"
        f"e = build({env.name!r}, {{}})\n"
        "print([e.generate(s).fingerprint for s in range(20)])"
    )
    command = [sys.executable, "-c", code]
    prints = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert prints[0] == prints[1] == str([env.generate(s).fingerprint for s in range(20)])


def test_splits_are_disjoint(env: WorkedEnvironment) -> None:
    drawn = [{Problems(env, s).draw(i).fingerprint for i in range(150)} for s in SPLITS]
    assert not (drawn[0] & drawn[1] or drawn[0] & drawn[2] or drawn[1] & drawn[2])


def test_running_total_resumes_where_it_stopped() -> None:
    env = worked(build("running_total", {}))
    problem = env.generate(3)
    whole = env.oracle(problem).reasoning or ""
    for written in range(len(whole) + 1):
        rest = env.resume(problem, written)
        assert whole.endswith(rest.reasoning or "") and rest.content == env.oracle(problem).content
        # The last complete step comes once more.
        assert len(whole) - len(rest.reasoning or "") == max(0, 3 * (written // 3) - 3)


def _add_columns(reasoning: str, sign: int) -> str:
    """What the written columns claim, each redone by hand from its own two digits."""
    carry, digits, rest = 0, [], reasoning
    while rest:
        if rest[0] == ".":
            digits, rest = [*digits, "."], rest[1:]
            continue
        if len(rest) == 1:  # a last carry
            assert sign > 0 and int(rest) == carry == 1
            digits, carry, rest = [*digits, rest], 0, ""
            continue
        a, b, claimed, rest = int(rest[0]), int(rest[1]), int(rest[2]), rest[3:]
        carry, digit = divmod(a + sign * (b + abs(carry)) if sign < 0 else a + b + carry, 10)
        assert digit == claimed
        digits.append(str(digit))
    assert carry == 0
    return "".join(reversed(digits))


@pytest.mark.parametrize("task", ["chain_sum", "decimal_chain_sum"])
def test_columns_are_the_sum_as_one_does_it_by_hand(task: str) -> None:
    env = worked(build(task, {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 5}))
    for seed in range(200):
        problem = env.generate(seed)
        solution = env.oracle(problem)
        sign = -1 if " - " in problem.prompt else 1
        result = _add_columns(solution.reasoning or "", sign)
        assert Decimal(result) == Decimal(solution.content)


def test_bad_names_and_params() -> None:
    with pytest.raises(EnvError) as raised:
        build("chain_summ", {})
    assert "chain_sum" in raised.value.hint
    with pytest.raises(EnvError):
        build("running_total", {"min_steps": 30, "max_steps": 40})
    with pytest.raises(EnvError):
        build("chain_sum", {"digits": 3})
