"""Metrics to a tracker, beside metrics.jsonl: trackio or wandb, whichever is installed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Literal

from openzaya.config.base import Config, to_plain
from openzaya.errors import ConfigError
from openzaya.run_dir import RunDir


def attach_tracker(
    run: RunDir, config: Config, tracker: Literal["trackio", "wandb"], project: str
) -> None:
    """Every number that `run` logs from now on also goes to `tracker`."""
    try:
        module: ModuleType = importlib.import_module(tracker)
    except ImportError as error:
        raise ConfigError(
            f"tracker: {tracker} is not installed", f"pip install {tracker}, or tracker=none"
        ) from error
    module.init(project=project, name=run.path.name, config=to_plain(config))

    def forward(step: int, values: dict[str, Any]) -> None:
        numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
        module.log(numbers, step=step)

    run.listen(forward)
