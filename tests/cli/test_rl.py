"""`zaya rl`, `zaya rl simulate` and `zaya cascade` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from openzaya.cli import app

SCALE = str(Path(__file__).parents[2] / "recipes" / "simulate" / "report-scale.toml")
SMALL = (
    "steps=6", "groups_per_batch=8", "group_size=4", "samplers=2", "slots=16", "length.median=1000",
)  # fmt: skip


def zaya(*line: str) -> Result:
    return CliRunner().invoke(app, line)


def test_help_lists_the_run_and_the_simulation() -> None:
    said = zaya("rl", "--help").stdout
    assert "RECIPE OUT" in said and "simulate" in said and "run" in said
    assert "--overwrite" in zaya("rl", "run", "--help").stdout


def test_without_a_verb_it_is_the_run(tmp_path: Path) -> None:
    """The line of old: `zaya rl RECIPE OUT`, refused here for its recipe and not for its form."""
    for line in (("rl",), ("rl", "run")):
        found = zaya(*line, str(tmp_path / "no.toml"), str(tmp_path / "out"), "steps=1")
        assert found.exit_code == 2 and "no.toml: no such file" in found.stderr


def test_simulate_prints_both_loops() -> None:
    found = zaya("rl", "simulate", SCALE, *SMALL, "crash_seconds=200")
    assert found.exit_code == 0, found.stderr
    for row in ("tokens per second", "trainer idle", "slots idle", "groups of staleness 0",
                "tokens lost", "crashes", "times the tokens of the synchronous loop"):  # fmt: skip
        assert row in found.stdout


def test_simulate_as_json_is_a_function_of_its_recipe() -> None:
    one, two = (json.loads(zaya("rl", "simulate", SCALE, *SMALL, "--json").stdout) for _ in "ab")
    assert one == two
    rates = [one[side]["tokens_per_second"] for side in ("recipe", "synchronous")]
    assert one["ratio"] == rates[0] / rates[1] > 1
    assert set(one["synchronous"]["staleness"]) == {"0"}
    same = zaya("rl", "simulate", SCALE, *SMALL, "asynchrony.max_staleness=0", "--json")
    assert json.loads(same.stdout)["ratio"] == 1, "negative control: the synchronous loop itself"


def test_what_can_never_train_is_refused_before_it_runs() -> None:
    found = zaya("rl", "simulate", SCALE, "asynchrony.ready_batches=9")
    assert found.exit_code == 2 and "never come together" in found.stderr


def test_a_cascade_without_its_start_is_refused(tmp_path: Path) -> None:
    recipes = Path(SCALE).parents[1] / "cascade" / "tiny"
    out = tmp_path / "out"
    found = zaya("cascade", str(recipes), str(out), f'init_from="{tmp_path / "gone"}"')
    assert found.exit_code == 2 and "holds no weights" in found.stderr
    assert not out.exists()
    found = zaya("cascade", str(tmp_path), str(out))
    assert found.exit_code == 2 and "cascade.toml: no such file" in found.stderr
