"""What the road came to: summary.json, the promised stairs, and the environment it ran in."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openzaya.demo.methods import LABELS
from openzaya.demo.road import Road
from openzaya.evals.evaluate import EvalResult, TaskScore
from openzaya.evals.stats import paired_difference

STATIONS = ("pretrain", "sft", "rl", "rsa")


def write_summary(road: Road) -> None:
    """Write summary.json and print the stairs; one that is missing is printed as missing."""
    steps = stairs(road)
    road.run.write_json(
        "summary.json",
        {
            "size": road.config.size,
            "seed": road.config.seed,
            "split": road.config.split,
            "environment": _environment(road.config.threads),
            "stations": [
                {"name": name, "tokens": road.tokens[name], "seconds": road.seconds[name]}
                | _brief(road.results[name])
                for name in STATIONS
            ],
            "comparisons": [
                {"method": m, "label": LABELS[m]} | _brief(r) for m, r in road.results.items()
            ],
            "stairs": steps,
        },
    )
    for row in steps:
        verdict = "holds" if row["holds"] else "MISSING"
        road.console.print(
            f"{verdict:8} {row['name']}: {100 * row['difference']:+.1f} points "
            f"+- {100 * row['stderr']:.1f}"
        )


def stairs(road: Road) -> list[dict[str, Any]]:
    """Each promised step, as a paired difference over problems with its standard error."""
    long = road.config.long_task
    pairs = [
        ("RL above SFT, one sample", "rl", "sft", None),
        ("Markovian RSA above RL's single sample", "rsa", "rl", None),
        (f"{long}: Markovian RSA above majority at equal tokens", "rsa", "majority", long),
    ]
    rows = []
    for name, above, below, task in pairs:
        high, low = _values(road, above, task), _values(road, below, task)
        d = paired_difference(high, low)
        rows.append(
            {
                "name": name,
                "difference": d.mean,
                "stderr": d.standard_error,
                "z": d.z,
                "holds": bool(d.mean > 0 and d.mean >= 3 * d.standard_error),
            }
        )
    return rows


def _values(road: Road, method: str, task: str | None) -> np.ndarray:
    tasks = road.results[method].tasks
    chosen = [tasks[task]] if task else list(tasks.values())
    return np.concatenate([np.array(s.values) for s in chosen])[:, None]


def _brief(result: EvalResult) -> dict[str, Any]:
    def row(score: TaskScore) -> dict[str, Any]:
        return {
            "accuracy": score.accuracy,
            "stderr": score.stderr,
            "problems": len(score.values),
            "decode_tokens": score.decode_tokens,
            "prefill_tokens": score.prefill_tokens,
            "truncated": score.truncated,
            "unparseable": score.unparseable,
            "samples": score.samples,
            "rounds": score.rounds,
        }

    return row(result.overall) | {"tasks": {name: row(s) for name, s in result.tasks.items()}}


def _environment(threads: int) -> dict[str, Any]:
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        commit = "not a git checkout"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": platform.processor() or platform.machine(),
        "threads": threads,
        "commit": commit,
    }
