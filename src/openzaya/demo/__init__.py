"""`zaya demo`: the whole road on one machine, resumable at every station.

    pretrain -> SFT -> RL -> Markovian RSA -> report

Every number in summary.json was measured by this run.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from openzaya.config.base import load_recipe
from openzaya.config.demo import DemoConfig
from openzaya.demo.methods import measure_reasoning
from openzaya.demo.road import Road
from openzaya.demo.summary import write_summary
from openzaya.report import write_report
from openzaya.run_dir import RunDir


def run_demo(recipe: Path, overrides: Sequence[str], console: Console) -> Path:
    """The whole demo; returns the report. Running it again goes on where it stopped."""
    config = load_recipe(DemoConfig, recipe, overrides)
    torch.set_num_threads(config.threads)
    with RunDir.create(config.out, config, resume=True) as run:
        road = Road(recipe, config, run, console)
        if config.size == "reduced":
            console.print("reduced size: this run shows that the stages fit, not what they reach")
        started = time.perf_counter()
        road.station("pretrain", config.pretrain, None)
        road.station("sft", config.sft, "pretrain")
        road.station("rl", config.rl, "sft")
        measure_reasoning(road)
        write_summary(road)
        drawn = time.perf_counter()
        page = write_report(run.path)
        console.print(f"report   {page}  ({time.perf_counter() - drawn:.0f} s)")
        seconds = time.perf_counter() - started
        console.print(f"total    {seconds:.0f} s and at most {_peak_gb():.1f} GB in this session")
        return page


def _peak_gb() -> float:
    """Largest resident set of this process so far, GB."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
