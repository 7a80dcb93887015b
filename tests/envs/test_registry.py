"""Names: unique, found lazily, refused with a way out."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from openzaya.envs import Problems, build, names, worked
from openzaya.envs.registry import SOURCES
from openzaya.errors import EnvError

BROKEN = Path(__file__).with_name("broken.py")


def test_names_are_unique_across_sources() -> None:
    listed = [name for source in SOURCES if not source.reason for name in source.makers()]
    twice = [name for name, count in Counter(listed).items() if count > 1]
    assert twice == [] and len(listed) > 120
    assert set(names().values()) >= {"own", "reasoning-gym"}


def test_importing_envs_imports_no_source() -> None:
    code = (
        "import sys, openzaya.envs, openzaya.envs.registry\n"
        "heavy = ('reasoning_gym', 'sympy', 'torch', 'openzaya.envs.generators.graphs',\n"
        "         'math_verify', 'openzaya.envs.reasoning_gym')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "openzaya.envs.names('own')\n"
        "print('openzaya.envs.generators.graphs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("chain_summ", "chain_sum"), ("runing_total", "running_total"), ("qqqqq", "zaya envs list")],
)
def test_unknown_names_get_a_hint(name: str, said: str) -> None:
    with pytest.raises(EnvError, match=name) as raised:
        build(name, {})
    assert said in raised.value.hint


@pytest.mark.parametrize("variable", ["OPENZAYA_RLVE_PATH", "OPENZAYA_ENIGMATA_PATH"])
def test_an_adapter_without_a_checkout_says_how_to_get_one(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"{variable.split('_')[1].lower()}:Sudoku"
    for value in ("", str(tmp_path)):
        monkeypatch.setenv(variable, value)
        with pytest.raises(EnvError, match="cannot be had here") as raised:
            build(name, {})
        assert "git clone" in raised.value.hint and variable in raised.value.hint
        assert not [n for n in names() if n.startswith(name.split(":")[0] + ":")]


def test_an_environment_of_ones_own_from_a_file() -> None:
    env = build(f"{BROKEN}:Right", {})
    assert env.generate(0, 2).prompt.startswith("Add ")
    for reference, said in ((f"{BROKEN}:Missing", "no class"), ("nowhere.py:Right", "no file")):
        with pytest.raises(EnvError, match=said):
            build(reference, {})


def test_unknown_params_name_the_known() -> None:
    with pytest.raises(EnvError, match="steps") as raised:
        build("running_total", {"steps": 3})
    assert "min_steps" in raised.value.hint
    with pytest.raises(EnvError) as raised:
        build("shortest_route", {"nodes": 3})
    assert "difficulty" in raised.value.hint


def test_training_text_needs_worked_solutions() -> None:
    assert worked(build("running_total", {})).name == "running_total"
    with pytest.raises(EnvError, match="no worked solutions") as raised:
        worked(build("shortest_route", {}))
    assert "running_total" in raised.value.hint


def test_seeds_without_a_problem_are_passed_over_and_counted() -> None:
    problems = Problems(build(f"{BROKEN}:OftenWithout", {}), "train")
    seeds = [problems.draw(index).seed for index in range(30)]
    assert all(seed % 3 for seed in seeds) and problems.failed >= 5
    with pytest.raises(EnvError, match="no problem at all"):
        Problems(build(f"{BROKEN}:NeverMakes", {}), "train").draw(0)


def test_problems_are_drawn_at_their_difficulty() -> None:
    problems = Problems(build("running_total", {}), "train", difficulty=6)
    assert problems.draw(3).difficulty == 6 and problems.draw(3, difficulty=0).difficulty == 0
    assert len(problems.draw(3).private["numbers"]) >= 18
