"""Verbs that make a model, and show a run: demo, train, report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(help="section.key=value, as many as you like.")
]


def demo(
    recipe: Annotated[Path, typer.Argument()] = Path("recipes/tiny/demo.toml"),
    overrides: Overrides = None,
) -> None:
    """Pretrain, fine-tune, reinforce and reason with a tiny ZAYA; then open the report."""
    from rich.console import Console

    from openzaya.demo import run_demo

    if "=" in str(recipe):  # `zaya demo key=value` keeps the default recipe
        overrides, recipe = [str(recipe), *(overrides or [])], Path("recipes/tiny/demo.toml")
    # Lines keep their length in a log file; a terminal wraps them by itself.
    run_demo(recipe, overrides or [], Console(soft_wrap=True))


def train(recipe: Path, out: Path, overrides: Overrides = None, overwrite: bool = False) -> None:
    """Run a pretraining or SFT recipe in the folder OUT; the same line again goes on."""
    from openzaya.config.train import TrainConfig
    from openzaya.train.loop import train as run_training

    _stage(TrainConfig, run_training, recipe, out, overrides, overwrite)


def _stage(
    kind: type[Any],
    run_stage: Callable[..., Any],
    recipe: Path,
    out: Path,
    overrides: list[str] | None,
    overwrite: bool,
) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from openzaya.config.base import load_recipe
    from openzaya.run_dir import RunDir

    console = Console()
    config = load_recipe(kind, recipe, overrides or [])
    if int(os.environ.get("RANK", "0")) > 0:  # torchrun: the main rank writes and tells
        run_stage(config, RunDir.watching(out))
        return
    with (
        RunDir.create(out, config, resume=not overwrite, overwrite=overwrite) as run,
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=console, disable=not console.is_terminal,
        ) as bar,
    ):  # fmt: skip
        task = bar.add_task(out.name, total=None, note="")
        run.listen(lambda _, values: _note(bar, task, values))
        run_stage(config, run, lambda step, total, _: bar.update(task, completed=step, total=total))
        result = run.read_json("result.json")
    typer.echo(f"{result['folder']}: {result['steps']} steps, {result['tokens']} tokens")


def _note(bar: Any, task: Any, values: dict[str, Any]) -> None:
    """The last step in a few words."""
    if "tokens_per_second" in values and "loss" in values:
        share = f", {values['mfu']:.0%} of the product rate" if "mfu" in values else ""
        speed = f"{values['tokens_per_second']:,.0f} tokens/s{share}"
        bar.update(task, note=f"loss {values['loss']:.3f}, {speed}")
    elif "rolled_back_from" in values:
        bar.console.print(f"back from step {values['rolled_back_from']}: {values['reason']}")


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...")],
    out: Annotated[Path | None, typer.Option(help="Folder for the page of evaluations.")] = None,
) -> None:
    """Write FOLDER/report.html of a demo, a training run, an RL cascade, or of evaluations; several
    evaluations come into one page, compared."""
    from openzaya.report import write_reports

    typer.echo(write_reports(folders, out))
