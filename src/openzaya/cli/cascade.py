"""`zaya cascade`: the RL stages of a recipe folder, one after the other, and one report."""

from __future__ import annotations

from pathlib import Path

import typer

from openzaya.cli.train import Overrides


def cascade(recipe_folder: Path, out: Path, overrides: Overrides = None) -> None:
    """Run the RL stages of RECIPE_FOLDER in the folder OUT; the same line again goes on. Overrides
    look like stage.section.key=value, or, of cascade.toml itself, key=value."""
    from rich.console import Console

    from openzaya.report import write_report
    from openzaya.rl.cascade import run_cascade

    # Lines keep their length in a log file; a terminal wraps them by itself.
    run_cascade(recipe_folder, out, overrides or [], Console(soft_wrap=True))
    typer.echo(f"report   {write_report(out)}")
