"""Environments about programs: written, predicted, reconstructed, refuted."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from openzaya.types import Environment

_WHERE = {
    "code_solve_python": ("solve", "SolvePython"),
    "code_solve_cpp": ("solve", "SolveCpp"),
    "code_reconstruction": ("solve", "Reconstruction"),
    "code_output_prediction": ("reason", "OutputPrediction"),
    "code_input_prediction": ("reason", "InputPrediction"),
    "code_falsification": ("reason", "Falsification"),
}


def _factory(module: str, cls: str) -> Callable[..., Environment]:
    def make(**params: str) -> Environment:
        """`bank`: "own", or the path of a JSONL bank. Needs no sandbox before the first score."""
        return getattr(importlib.import_module(f"openzaya.envs.code.{module}"), cls)(**params)

    return make


CODE_ENVIRONMENTS: dict[str, Callable[..., Environment]] = {
    name: _factory(*where) for name, where in _WHERE.items()
}
"""name -> factory. Nothing heavy is imported before a factory is called."""
