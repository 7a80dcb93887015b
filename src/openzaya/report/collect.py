"""Read what a demo run left in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openzaya.errors import RunError

STATIONS = ("pretrain", "sft", "rl", "rsa")


@dataclass(slots=True)
class Collected:
    """Everything the page draws from. Absent pieces are empty and listed in `missing`."""

    summary: dict[str, Any]
    metrics: dict[str, list[dict[str, Any]]]
    examples: list[dict[str, Any]]
    configs: dict[str, str]
    trimmed: dict[str, dict[str, int]]
    """Per training station, what answer-preserving trimming did."""
    missing: list[str]


def collect(folder: Path) -> Collected:
    """Raises RunError where there is no summary: then nothing was measured to the end."""
    summary_path = folder / "summary.json"
    if not summary_path.is_file():
        raise RunError(
            f"{folder} holds no summary.json: its demo has not come to its end",
            "run `make demo` again, it goes on where it stopped",
        )
    missing: list[str] = []
    metrics, trimmed = {}, {}
    for station in STATIONS[:3]:
        path = folder / station / "metrics.jsonl"
        metrics[station] = _lines(path)
        if not metrics[station]:
            missing.append(f"{station}/metrics.jsonl")
        result = folder / station / "result.json"
        if station != "rl" and result.is_file():
            trimmed[station] = json.loads(result.read_text())["trimmed"]
    examples_path = folder / "examples.json"
    examples = json.loads(examples_path.read_text()) if examples_path.is_file() else []
    if not examples:
        missing.append("examples.json")
    configs = {}
    for path in [folder / "config.toml", *(folder / s / "config.toml" for s in STATIONS[:3])]:
        if path.is_file():
            configs[str(path.relative_to(folder))] = path.read_text()
        else:
            missing.append(str(path.relative_to(folder)))
    summary = json.loads(summary_path.read_text())
    return Collected(summary, metrics, examples, configs, trimmed, missing)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
