"""The demo goes on where it stopped, refuses what has changed, and prints a missing stair."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from openzaya.config.base import load_recipe
from openzaya.config.demo import DemoConfig
from openzaya.demo import road as road_module
from openzaya.demo.methods import LABELS, measure_reasoning
from openzaya.demo.road import Road
from openzaya.demo.summary import stairs, write_summary
from openzaya.errors import RunError
from openzaya.evals.evaluate import EvalResult, TaskScore
from openzaya.report import write_report
from openzaya.run_dir import RunDir

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny" / "demo-ci.toml"
STATIONS = (
    'pretrain.overrides=["steps=2", "dev.every=1", "dev.problems=2", "schedule.warmup_steps=1"]',
    'sft.overrides=["steps=1", "dev.every=1", "dev.problems=2", "schedule.warmup_steps=1"]',
    'rl.overrides=["steps=1", "prompts_per_step=2", "group_size=2", "dev.problems=2"]',
)
SMALL = ("problems=2", "control_problems=2", "samples=2", "rounds=1", "threads=1", *STATIONS)


def road(folder: Path, *overrides: str) -> Road:
    config = load_recipe(DemoConfig, RECIPE, [*SMALL, *overrides, f'out="{folder}"'])
    run = RunDir.create(folder, config, resume=True)
    return Road(RECIPE, config, run, Console(file=io.StringIO(), width=200))


def drive(r: Road) -> str:
    with r.run:
        r.station("pretrain", r.config.pretrain, None)
        r.station("sft", r.config.sft, "pretrain")
        r.station("rl", r.config.rl, "sft")
        measure_reasoning(r)
        write_summary(r)
    assert isinstance(r.console.file, io.StringIO)
    return r.console.file.getvalue()


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("road") / "demo"
    return folder, drive(road(folder))


def test_every_method_is_measured_and_named(driven: tuple[Path, str]) -> None:
    folder, said = driven
    summary = json.loads((folder / "summary.json").read_text())
    assert [s["name"] for s in summary["stations"]] == ["pretrain", "sft", "rl", "rsa"]
    assert {c["method"] for c in summary["comparisons"]} == set(LABELS)
    for station in summary["stations"]:
        assert station["seconds"] > 0 and station["tokens"] > 0
        assert {"accuracy", "stderr"} <= station.keys()
    assert len(said.splitlines()) == 4 + len(summary["stairs"])
    assert write_report(folder).stat().st_size < 2_000_000


def test_driving_again_computes_nothing(
    driven: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = driven
    for name in ("train", "reinforce", "Engine"):
        monkeypatch.setattr(road_module, name, pytest.fail)
    assert drive(road(folder)) == said


def test_a_lost_measurement_is_made_again_and_is_the_same(driven: tuple[Path, str]) -> None:
    folder, said = driven
    before = json.loads((folder / "eval" / "rsa.json").read_text())
    for name in ("rsa", "majority"):
        (folder / "eval" / f"{name}.json").unlink()
    again = drive(road(folder))
    after = json.loads((folder / "eval" / "rsa.json").read_text())
    assert before["tasks"] == after["tasks"]
    assert again.splitlines()[-3:] == said.splitlines()[-3:]


def test_a_changed_station_is_refused(driven: tuple[Path, str], tmp_path: Path) -> None:
    """Its result would otherwise be shown as the changed recipe's."""
    folder, _ = driven
    changed = road(folder)
    station = changed.config.sft.model_copy(
        update={"overrides": (*changed.config.sft.overrides, "optim.lr=0.5")}
    )
    with changed.run, pytest.raises(RunError, match=r"sft was started with another config.*lr"):
        changed.station("sft", station, "pretrain")


def test_the_seed_reaches_every_station(driven: tuple[Path, str]) -> None:
    folder, _ = driven
    seeds = {s: (folder / s / "config.toml").read_text() for s in ("pretrain", "sft", "rl")}
    lines = [next(x for x in t.splitlines() if x.startswith("seed")) for t in seeds.values()]
    assert len(set(lines)) == 3
    r = road(folder)
    r.run.close()
    other = r.config.model_copy(update={"seed": 1})
    r.config = other
    assert f"seed = {r.seed('sft')}" not in lines


def fake(**values: list[float]) -> Any:
    """Results of one task `long`, as `stairs` reads them."""
    results = {
        method: EvalResult(method, {"long": TaskScore(v, 0.0, 0)}) for method, v in values.items()
    }
    return SimpleNamespace(results=results, config=SimpleNamespace(long_task="long"))


def test_stairs_need_three_standard_errors() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, 400)
    flat = [0.5] * 400
    clear = (0.5 + 0.1 + noise - noise.mean()).tolist()  # 0.1 +- 0.015
    faint = (0.5 + 0.04 + noise - noise.mean()).tolist()  # 2.7 standard errors
    rows = stairs(fake(sft=flat, rl=clear, rsa=faint, majority=flat))
    assert [r["holds"] for r in rows] == [True, False, False]
    assert rows[2]["difference"] > 0, "higher, and still not shown to be"


def test_no_difference_is_no_stair() -> None:
    same = [1.0] * 10
    assert not any(r["holds"] for r in stairs(fake(sft=same, rl=same, rsa=same, majority=same)))
