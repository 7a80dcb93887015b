"""One self-contained HTML page of a run: what was measured, and what is missing."""

from __future__ import annotations

from pathlib import Path

from openzaya.errors import RunError
from openzaya.report.cascade import write_cascade_page
from openzaya.report.page import write_demo_page
from openzaya.report.training import write_training_page
from openzaya.run_dir import METRICS_FILE, RunDir

__all__ = ["write_report"]


def write_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a demo, a training run or a cascade; its path."""
    if (folder / "cascade.json").is_file():
        return write_cascade_page(folder)
    if (folder / "summary.json").is_file():
        return write_demo_page(folder)
    if (folder / METRICS_FILE).is_file():
        metrics = RunDir.open(folder).metrics()
        if any("loss" in m and "load" in m for m in metrics):
            return write_training_page(folder, metrics)
    raise RunError(
        f"{folder} holds nothing to report: no summary.json of a demo, no cascade.json, no logged "
        "training step",
        "let the run go on; running the same command again goes on where it stopped",
    )
