"""Admission: what is right passes, and every check finds the environment that breaks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openzaya.envs import build, gate
from openzaya.envs.admission import checks, failures, probe, table
from openzaya.envs.admission.checks import CHECKS
from openzaya.envs.gate import admitted
from openzaya.errors import EnvError
from openzaya.train.examples import environments

BROKEN = Path(__file__).with_name("broken.py")

FOUND_BY = {
    "DependsOnHashSeed": "pure",
    "DrawsGlobally": "pure",
    "DependsOnOrder": "pure",
    "WrongOracle": "solvable",
    "BrokenOracle": "solvable",
    "LosesTuples": "round trip",
    "TakesAnything": "junk",
    "TakesLists": "junk",
    "PaysForJunk": "junk",
    "OneAnswer": "guess",
    "Raises": "never raises",
    "BreaksQuietly": "never raises",
    "SlowScorer": "fast",
    "FewProblems": "many",
    "NeverHarder": "grows",
    "OftenWithout": "generates",
}


def _found(cls: str) -> set[str]:
    seen = probe(f"{BROKEN}:{cls}", {}, (0, 3), seeds=12)
    return {name for name, check in CHECKS.items() if check(seen)}


def test_what_is_right_passes() -> None:
    assert _found("Right") == set()


@pytest.mark.parametrize("cls", FOUND_BY)
def test_every_fault_is_found(cls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if cls == "SlowScorer":
        monkeypatch.setattr(checks, "SCORE_MS", 250.0)
    assert FOUND_BY[cls] in _found(cls)


def test_every_check_has_a_control() -> None:
    assert set(FOUND_BY.values()) == set(CHECKS)


@pytest.mark.parametrize("name", ["running_total", "gcd"])
def test_real_environments(name: str) -> None:
    seen = probe(name, {}, (0, 3), seeds=6)
    assert failures(seen) == []
    assert seen.levels[0].oracles == seen.levels[0].solved == 6


def test_difficulties_beyond_the_last_are_measured_once() -> None:
    assert list(probe("caesar_cipher", {}, (0, 3, 10), seeds=5).levels) == [0, 1]


def test_the_table_merges_counts_and_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    seen = probe(f"{BROKEN}:Right", {}, (0,), seeds=6)
    wrong = probe(f"{BROKEN}:TakesAnything", {}, (0,), seeds=6)
    table.merge(path, {"right": table.row_of(seen, "own")})
    rows = table.merge(path, {"wrong": table.row_of(wrong, "reasoning-gym")})
    assert json.loads(path.read_text())["environments"] == rows and list(rows) == ["right", "wrong"]
    assert table.counts(rows) == {"own": (1, 1), "reasoning-gym": (0, 1)}
    page = table.markdown(rows)
    assert "| `right` | arithmetic |" in page and "- `wrong`: " in page


def test_a_page_shows_the_table_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.show_in(page, {})
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    page.write_text("no marks")
    with pytest.raises(EnvError, match="where the table goes"):
        table.show_in(page, {})


def test_the_docs_show_the_committed_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "environments.md"
    assert table.markdown(gate.table()) in page.read_text(), "zaya envs admit --markdown"


def test_training_refuses_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from openzaya.config.tasks import TaskConfig

    env = build("running_total", {})
    row = {"version": env.version, "failed": ["its oracle is wrong"]}
    monkeypatch.setattr(gate, "table", lambda: {"running_total": row})
    task = TaskConfig(environment="running_total")
    with pytest.raises(EnvError, match="its oracle is wrong") as raised:
        environments({"long": task})
    assert "admit_anyway" in raised.value.hint
    assert environments({"long": task.model_copy(update={"admit_anyway": True})})
    row["version"] = "of another day"  # says nothing about this one
    admitted(env)


def test_the_committed_table_speaks_of_what_is_there() -> None:
    rows = gate.table()
    assert rows, "the table is part of the package: zaya envs admit --all --write"
    assert {row["source"] for row in rows.values()} <= set(table.COUNTED)
    for name in ("chain_sum", "decimal_chain_sum", "spell_backward", "running_total"):
        assert rows[name]["failed"] == [], "the demo trains on it"
