"""From the first step to result.json: the same for pretraining, SFT and RL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from openzaya.config.rl import RLConfig
from openzaya.config.train import TrainConfig
from openzaya.kernels import keep_freed_memory
from openzaya.run_dir import RunDir

OnStep = Callable[[int, int, float], None]
"""Hears (step, steps of the whole run, last dev accuracy)."""


class Stage(Protocol):
    """A run that goes on from its latest checkpoint as soon as it is built."""

    run: RunDir
    step: int
    tokens: int

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        ...

    @property
    def config(self) -> TrainConfig | RLConfig: ...

    def train_step(self) -> None: ...

    def evaluate(self) -> float:
        """Validation accuracy, logged."""
        ...

    def save(self) -> str:
        """Checkpoint everything; returns the folder."""
        ...

    def close(self) -> None:
        """Wait for what is still being written."""
        ...

    def facts(self) -> dict[str, Any]:
        """What else belongs into result.json."""
        ...


@dataclass(frozen=True, slots=True)
class StageResult:
    """Where the weights are, and what it took."""

    folder: str
    steps: int
    tokens: int
    stopped_by: str  # "steps" or "trigger"


def drive(stage: Stage, on_step: OnStep | None = None) -> StageResult:
    """Step, evaluate and save until the steps are done or the validation trigger fires."""
    torch.use_deterministic_algorithms(True)
    keep_freed_memory()
    config, run = stage.config, stage.run
    # A run killed between its last checkpoint and its result knows the verdict from its metrics.
    accuracy = run.last("dev_accuracy", stage.step) or 0.0
    target = config.dev.stop_at
    stopped = target is not None and accuracy >= target
    while stage.step < stage.total and not stopped:
        stage.train_step()
        if stage.step % config.dev.every == 0:
            accuracy = stage.evaluate()
            stopped = target is not None and accuracy >= target
        if stage.step % config.checkpoint.every == 0:
            stage.save()
        if on_step is not None:
            on_step(stage.step, stage.total, accuracy)
    if stage.step % config.dev.every and not run.has("result.json"):
        stage.evaluate()
    result = StageResult(stage.save(), stage.step, stage.tokens, "trigger" if stopped else "steps")
    stage.close()
    run.write_json("result.json", asdict(result) | stage.facts())
    return result
