"""What ends a stage, and what is kept when it ends; a stage of any kind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.config.train import CheckpointConfig, DevConfig
from openzaya.run_dir import RunDir
from openzaya.train.drive import drive


class Counter:
    """A stage whose validation accuracy is a tenth of its step."""

    def __init__(self, run: RunDir, stop_at: float | None) -> None:
        dev = DevConfig(every=2, stop_at=stop_at)
        self.config: Any = SimpleNamespace(checkpoint=CheckpointConfig(every=4), dev=dev)
        self.run, self.step, self.tokens, self.total = run, 0, 0, 9
        self.saved: list[int] = []

    def train_step(self) -> None:
        self.step += 1
        self.tokens += 10

    def evaluate(self) -> float:
        return self.step / 10

    def save(self) -> str:
        self.saved.append(self.step)
        return f"step {self.step}"

    def close(self) -> None:
        self.saved.append(-1)

    def facts(self) -> dict[str, Any]:
        return {"extra": 1}


@pytest.mark.parametrize(
    ("stop_at", "steps", "saved", "by"),
    [
        (None, 9, [4, 8, 9, -1], "steps"),
        (0.55, 6, [4, 6, -1], "trigger"),
        (0.95, 9, [4, 8, 9, -1], "steps"),
    ],
)
def test_a_stage_ends_by_steps_or_trigger(
    tmp_path: Path, stop_at: float | None, steps: int, saved: list[int], by: str
) -> None:
    heard: list[tuple[int, float]] = []
    with RunDir.create(tmp_path / "run", RSAConfig()) as run:
        stage = Counter(run, stop_at)
        result = drive(stage, lambda step, _, accuracy: heard.append((step, accuracy)))
        stored = run.read_json("result.json")
    assert (result.steps, result.tokens, result.stopped_by) == (steps, 10 * steps, by)
    assert stage.saved == saved and heard[-1] == (steps, (steps - steps % 2) / 10)
    assert stored == {
        "folder": f"step {steps}", "steps": steps, "tokens": 10 * steps, "stopped_by": by,
        "extra": 1,
    }  # fmt: skip
