"""Bad steps: what is one, going back, and that the run ends as if the batch had never been."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from openzaya.config.base import to_toml
from openzaya.config.train import TrainConfig, WatchConfig
from openzaya.errors import RunError
from openzaya.run_dir import RunDir
from openzaya.train import loop
from openzaya.train.watch import Watch

STEPS = 14
SHAPE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 8, "num_experts": 2, "moe_intermediate_size": 16, "router_hidden_size": 8,
    "max_position_embeddings": 512,
}  # fmt: skip


def config(**watch: Any) -> TrainConfig:
    table: dict[str, Any] = {
        "steps": STEPS,
        "tasks": {"running_total": {"environment": "running_total"}},
        "model": SHAPE,
        "examples": {"per_step": 2},
        "schedule": {"warmup_steps": 1},
        "dev": {"every": 100},
        "checkpoint": {"every": 3},
        "watch": {"window": 8} | watch,
    }
    return TrainConfig.model_validate(table)


def poison(monkeypatch: pytest.MonkeyPatch, at: dict[int, float]) -> None:
    """Add something to the loss of the batches `at`."""
    draw, judge, current = loop.ExampleSource.batch, loop.next_token_loss, [0]

    def batch(self: Any, index: int) -> Any:
        current[0] = index
        return draw(self, index)

    def loss(*arguments: Any) -> tuple[Tensor, Any]:
        value, out = judge(*arguments)
        return value + at.get(current[0], 0.0), out

    monkeypatch.setattr(loop.ExampleSource, "batch", batch)
    monkeypatch.setattr(loop, "next_token_loss", loss)


def finish(folder: Path, settings: TrainConfig, skipped: tuple[int, ...] = ()) -> list[str]:
    """Every accepted loss, exactly, and what the run says about itself."""
    torch.set_num_threads(1)
    with RunDir.create(folder, settings) as run:
        if skipped:
            run.write_json("skipped.json", [{"batch": b} for b in skipped])
        loop.train(settings, run)
        return [m["loss"].hex() for m in run.metrics() if "loss" in m]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 50.0], ids=["nan", "inf", "spike"])
def test_it_ends_as_if_the_batch_had_never_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    without = finish(tmp_path / "without", config(), skipped=(10,))
    untouched = finish(tmp_path / "untouched", config())
    poison(monkeypatch, {10: bad})
    assert finish(tmp_path / "run", config()) == without
    assert without[:10] == untouched[:10]
    assert without != untouched, "leaving a batch out changes the run"
    entry = json.loads((tmp_path / "run" / "skipped.json").read_text())[0]
    assert (entry["batch"], entry["step"]) == (10, 10) and "the loss is" in entry["reason"]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    back = [m for m in map(json.loads, lines) if "rolled_back_from" in m]
    assert [(m["step"], m["rolled_back_from"]) for m in back] == [(9, 10)]


def test_before_the_first_checkpoint_it_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {1: math.nan})
    assert len(finish(tmp_path / "run", config())) == STEPS


def test_a_gradient_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, calls = loop.next_token_loss, [0]

    def loss(*arguments: Any) -> tuple[Tensor, Any]:
        value, out = judge(*arguments)
        calls[0] += 1
        if calls[0] == 3:  # a finite loss with an infinite slope
            zero = (out.hidden_ND[0, 0] * 0).abs()
            value = value + zero.sqrt()
        return value, out

    monkeypatch.setattr(loop, "next_token_loss", loss)
    finish(tmp_path / "run", config())
    assert "gradient norm" in (tmp_path / "run" / "skipped.json").read_text()


def test_only_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {4: math.nan, 5: math.nan, 6: math.nan})
    with pytest.raises(RunError, match="2 batches were left out"):
        finish(tmp_path / "run", config(rollbacks=2))
    assert len(json.loads((tmp_path / "run" / "skipped.json").read_text())) == 2


def test_a_killed_run_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch stays out, and the losses that a spike is judged by are there again."""
    poison(monkeypatch, {10: 50.0})
    golden = finish(tmp_path / "golden", config())
    save = loop.Trainer.save

    def killed(self: loop.Trainer) -> str:
        folder = save(self)
        if self.step == 12:
            raise KeyboardInterrupt
        return folder

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Trainer, "save", killed)
        finish(tmp_path / "run", config())
    with RunDir.create(tmp_path / "run", config(), resume=True) as run:
        trainer = loop.Trainer(config(), run)
        assert trainer.step == 12 and trainer.watch.batch_of(12) == 13
        assert [x.hex() for x in trainer.watch.recent] == golden[4:12]


def test_which_batch_a_step_learns_from(tmp_path: Path) -> None:
    with RunDir.create(tmp_path / "run", config()) as run:
        watch = Watch(WatchConfig(rollbacks=9), run)
        for batch in (5, 0, 6, 2):
            watch.leave_out(batch, 0, "test")
        assert [watch.batch_of(s) for s in range(6)] == [1, 3, 4, 7, 8, 9]
        assert Watch(WatchConfig(), run).batch_of(0) == 1


def test_noise_and_falling_losses_are_no_spikes(tmp_path: Path) -> None:
    with RunDir.create(tmp_path / "run", config()) as run:
        watch = Watch(WatchConfig(window=8), run)
        torch.manual_seed(0)
        for step in range(500):
            loss = 5 * 0.99**step + 1 + 0.05 * float(torch.randn(()))
            assert watch.judge(loss) is None
            watch.accept(loss)
        assert watch.judge(2.5) is not None
        flat = Watch(WatchConfig(window=8), run)
        for _ in range(8):
            flat.accept(1.0)
        assert flat.judge(1.1) is None and flat.judge(1.3) is not None


STALL = """
import sys, time
import torch
torch.set_num_threads(1)
from openzaya.config.base import load_recipe
from openzaya.config.train import TrainConfig
from openzaya.run_dir import RunDir
from openzaya.train import loop

draw = loop.ExampleSource.batch
def batch(self, index):
    if index in (4, 7):
        time.sleep(600)
    return draw(self, index)
loop.ExampleSource.batch = batch
config = load_recipe(TrainConfig, sys.argv[1])
with RunDir.create(sys.argv[2], config, resume=True) as run:
    loop.train(config, run)
"""


@pytest.mark.parametrize(("rollbacks", "code"), [(2, 0), (1, 2)])
def test_a_step_that_hangs(tmp_path: Path, rollbacks: int, code: int) -> None:
    """The process starts itself anew, twice, and ends as if both batches had never been."""
    settings = config(stall_seconds=4.0, rollbacks=rollbacks)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(settings))
    command = [sys.executable, "-c", STALL, str(recipe), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("starting anew") == rollbacks
    if code == 0:
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        losses = [m["loss"].hex() for m in map(json.loads, lines) if "loss" in m]
        assert losses == finish(tmp_path / "without", config(), skipped=(4, 7))
    else:
        assert "error: step" in done.stderr
