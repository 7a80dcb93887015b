"""RLVE-Gym and Enigmata from checkouts of theirs: `make test-all` needs both variables."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from openzaya.envs import build, names
from openzaya.envs.adapters import enigmata, rlve
from openzaya.envs.adapters.checkout import Checkout
from openzaya.types import Outcome

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def _checkouts() -> None:
    for checkout in (rlve.CHECKOUT, enigmata.CHECKOUT):
        if checkout.missing():
            pytest.fail(f"{checkout.missing()}: {checkout.how_to_get}", pytrace=False)


def _share_solved(source: str, difficulty: int) -> tuple[int, int, list[str]]:
    """(environments with an oracle, solved by it, names that failed)."""
    oracles, solved, failed = 0, 0, []
    for name in names(source):
        env = build(name, {})
        problem = env.generate(1, difficulty)
        oracle = env.oracle(problem)
        if oracle is not None:
            oracles += 1
            if env.score(problem, oracle.content).correct:
                solved += 1
            else:
                failed.append(name)
        assert not env.score(problem, "<answer>banana</answer>").correct
    return oracles, solved, failed


def test_all_400_load_and_solve_their_own_problems() -> None:
    assert len(names("rlve")) == 400
    oracles, solved, failed = _share_solved("rlve", 0)
    assert failed == [] and oracles == solved > 330


def test_enigmata_solves_its_own_problems() -> None:
    assert len(names("enigmata")) == 30
    _, _, failed = _share_solved("enigmata", 0)
    assert failed == []


def test_difficulty_is_the_number_of_updates_without_end() -> None:
    env = build("rlve:Sorting" if "rlve:Sorting" in names("rlve") else "rlve:PolyaModel", {})
    lengths = [len(env.generate(3, d).prompt) for d in (0, 8, 16)]
    assert lengths == sorted(set(lengths))
    assert env.generate(3, 8) == env.generate(3, 8) != env.generate(4, 8)


def test_the_parent_is_left_alone() -> None:
    env = build("rlve:PolyaModel", {})
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    env.generate(0, 2)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[union-attr]


def test_polya_can_be_right() -> None:
    env = build("rlve:PolyaModel", {})
    problem = env.generate(5, 3)
    assert env.score(problem, f"<answer>{problem.private['answer']}</answer>").correct
    assert env.score(problem, "<answer>7/3</answer>").outcome is Outcome.WRONG
    assert env.score(problem, "seven").outcome is Outcome.UNPARSEABLE


@pytest.mark.parametrize(
    "name",
    ["rlve:CountdownEqual", "rlve:CountdownClose", "rlve:Integral", "rlve:Differentiate",
     "enigmata:game24", "enigmata:countdown", "enigmata:minesweeper", "enigmata:kakurasu"],
)  # fmt: skip
def test_answers_are_not_run(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    attack = f"__import__('pathlib').Path('{mark}').touch()"
    env = build(name, {})
    problem = env.generate(0)
    for text in (
        f"<answer>{attack}</answer>",
        f"```\n{attack}\n```",
        f"<answer>{attack} + x</answer>",
    ):
        assert not env.score(problem, text).correct
    assert not mark.exists()
    for text in ("9**9**9**9", "(" * 5000):
        env.score(problem, f"<answer>{text}</answer>")


def test_countdown_judges_arithmetic() -> None:
    env = build("rlve:CountdownEqual", {})
    problem = env.generate(1)
    numbers, target = (
        problem.private["parameter"]["operands"],
        problem.private["parameter"]["target"],
    )
    a, b = numbers[:2]
    ways = [f"{x}{op}{y}" for op in "+-*/" for x, y in ((a, b), (b, a))]
    right = [way for way in ways if abs(eval(way) - target) < 1e-9] if len(numbers) == 2 else []
    for way in ways:
        assert env.score(problem, f"<answer>{way}</answer>").correct is (way in right)


def test_a_folder_that_is_no_checkout_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PATH", str(tmp_path))
    checkout = Checkout("Some", "https://example.org/some", "SOME_PATH", "Gym")
    assert str(tmp_path) in checkout.missing()
    (tmp_path / "Gym").mkdir()
    assert checkout.missing() == ""
