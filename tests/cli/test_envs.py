"""`zaya envs`: what people and programs read, and how it says no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openzaya.cli.app import app

BROKEN = Path(__file__).parents[1] / "envs" / "broken.py"


def zaya(*arguments: str, text: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["envs", *arguments], input=text)
    return done.exit_code, done.stdout, done.stderr


def test_list_names_every_source_and_counts_them_apart() -> None:
    code, out, _ = zaya("list")
    assert code == 0
    for source in ("own", "reasoning-gym", "rlve", "enigmata"):
        assert f"\n{source}: " in f"\n{out}"
    code, out, _ = zaya("list", "--source", "reasoning-gym", "--json")
    rows = json.loads(out)
    assert len(rows) > 100 and {row["source"] for row in rows} == {"reasoning-gym"}
    assert {"name", "source", "admitted"} == rows[0].keys()


def test_list_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENZAYA_RLVE_PATH", raising=False)
    _, out, _ = zaya("list", "--source", "rlve")
    assert "OPENZAYA_RLVE_PATH is not set" in out
    code, _, err = zaya("try", "rlve:Sudoku")
    assert code == 2 and "git clone" in err


def test_show() -> None:
    code, out, _ = zaya("show", "running_total")
    assert code == 0 and "arithmetic" in out and "admitted" in out
    code, out, _ = zaya("show", "running_total", "--json")
    assert json.loads(out)["source"] == "openzaya"


def test_try_prints_a_problem_and_scores_an_answer() -> None:
    code, out, _ = zaya("try", "running_total", "-p", "min_steps=3", "-p", "max_steps=3")
    assert code == 0 and "solution: " in out
    code, out, _ = zaya("try", "running_total", "-d", "4", "--seed", "7", "--json")
    problem = json.loads(out)
    assert problem["difficulty"] == 4 and problem["score"] is None
    same = ("try", "running_total", "-d", "4", "--seed", "7")
    code, out, _ = zaya(*same, "--answer", problem["oracle"])
    assert "score: 1, correct" in out
    code, out, _ = zaya(*same, "--answer", "-", text="banana")
    assert "score: 0, wrong" in out


def test_admit_measures_and_the_exit_code_tells(tmp_path: Path) -> None:
    page = tmp_path / "table.md"
    good, bad = f"{BROKEN}:Right", f"{BROKEN}:TakesAnything"
    code, out, _ = zaya("admit", good, "--difficulties", "0,2", "--seeds", "6")
    assert code == 0 and f"ok      {good}" in out
    code, out, _ = zaya(
        "admit", good, bad, "--difficulties", "0", "--seeds", "6", "--markdown", str(page)
    )
    assert code == 1 and f"FAILED  {bad}" in out and "own: 1 of 2 admitted" in out
    assert "Not admitted" in page.read_text()
    code, out, _ = zaya("admit", bad, "--difficulties", "0", "--seeds", "6", "--json")
    assert code == 1 and json.loads(out)[bad]["failed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("admit",), "name environments"),
        (("admit", "gcd", "--all"), "name environments"),
        (("admit", "gcd", "--difficulties", "low"), "no whole numbers"),
        (("try", "running_totl"), "running_total"),
        (("try", "running_total", "-p", "steps"), "key=value"),
        (("try", "composite"), "refused"),
        (("list", "--source", "mine"), "reasoning-gym"),
    ],
)
def test_bad_input_is_two_lines(arguments: tuple[str, ...], said: str) -> None:
    code, _, err = zaya(*arguments)
    assert code == 2 and said in err and len(err.strip().splitlines()) <= 2
