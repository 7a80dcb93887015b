"""Verbs that make and improve a model: demo, train, rl, report."""

from __future__ import annotations

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


def rl(recipe: Path, out: Path, overrides: Overrides = None, overwrite: bool = False) -> None:
    """Run an RL recipe in the folder OUT; the same line again goes on."""
    from openzaya.config.rl import RLConfig
    from openzaya.rl.loop import reinforce

    _stage(RLConfig, reinforce, recipe, out, overrides, overwrite)


def _stage(
    kind: type[Any],
    run_stage: Callable[..., Any],
    recipe: Path,
    out: Path,
    overrides: list[str] | None,
    overwrite: bool,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from openzaya.config.base import load_recipe
    from openzaya.run_dir import RunDir

    console = Console()
    config = load_recipe(kind, recipe, overrides or [])
    with (
        RunDir.create(out, config, resume=not overwrite, overwrite=overwrite) as run,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(out.name, total=config.steps)
        run_stage(config, run, lambda step, _: bar.update(task, completed=step))
        result = run.read_json("result.json")
    typer.echo(f"{result['folder']}: {result['steps']} steps, {result['tokens']} tokens")


def report(folder: Path) -> None:
    """Write FOLDER/report.html from what a demo run left there."""
    from openzaya.report import write_report

    typer.echo(write_report(folder))
