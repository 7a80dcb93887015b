"""One self-contained HTML page of a run: what was measured, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openzaya.errors import RunError
from openzaya.report.cascade import write_cascade_page
from openzaya.report.evaluation import RESULT_FILE, write_evaluation_page
from openzaya.report.page import write_demo_page
from openzaya.report.training import write_training_page
from openzaya.run_dir import METRICS_FILE, RunDir

__all__ = ["write_report", "write_reports"]


def write_reports(folders: Sequence[Path], out: Path | None) -> Path:
    """The page of one run in its folder, or of several evaluations together in `out` (none: in the
    first one's folder)."""
    if len(folders) > 1 or out is not None or (folders[0] / RESULT_FILE).is_file():
        return write_evaluation_page(folders, out or folders[0])
    return write_report(folders[0])


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
        f"{folder} holds nothing to report: no summary.json of a demo, no cascade.json, no "
        "evaluation.json, no logged training step",
        "let the run go on; running the same command again goes on where it stopped",
    )
