"""Trackers hear what is logged; one that is not installed is named."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.errors import ConfigError
from openzaya.run_dir import RunDir
from openzaya.train.sinks import attach_tracker


def test_numbers_go_to_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    module: Any = ModuleType("trackio")
    module.init = lambda **settings: heard.append(settings)
    module.log = lambda values, step: heard.append((step, values))
    monkeypatch.setitem(sys.modules, "trackio", module)
    with RunDir.create(tmp_path / "mine", RSAConfig()) as run:
        attach_tracker(run, RSAConfig(), "trackio", "tests")
        run.log(3, loss=1.5, load=[[0.5]], text="x")
    assert heard[0]["project"] == "tests" and heard[0]["name"] == "mine"
    assert heard[0]["config"]["population"] == RSAConfig().population
    assert heard[1:] == [(3, {"loss": 1.5})]


def test_a_missing_tracker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        RunDir.create(tmp_path / "mine", RSAConfig()) as run,
        pytest.raises(ConfigError, match="wandb is not installed"),
    ):
        attach_tracker(run, RSAConfig(), "wandb", "tests")
