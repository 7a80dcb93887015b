"""`zaya rl`: a run, and, as `zaya rl simulate`, what an asynchronous run would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from openzaya.cli.train import Overrides, _stage


class RunByDefault(TyperGroup):
    """`zaya rl RECIPE OUT` is the run; what is no command of ours is its recipe."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


rl_app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Reinforcement learning: RECIPE OUT runs a stage, simulate predicts its speed.",
)


@rl_app.command()
def run(recipe: Path, out: Path, overrides: Overrides = None, overwrite: bool = False) -> None:
    """Run an RL recipe in the folder OUT; the same line again goes on. `run` may be left out."""
    from openzaya.config.rl import RLConfig
    from openzaya.rl.loop import reinforce

    _stage(RLConfig, reinforce, recipe, out, overrides, overwrite)


@rl_app.command()
def simulate(
    recipe: Path,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Throughput, idle time, staleness and losses of an asynchronous run, on simulated time, beside
    the synchronous loop on the same machines."""
    from openzaya.config.base import load_recipe
    from openzaya.config.simulate import SimulateConfig
    from openzaya.rl.simulate import compare

    found = compare(load_recipe(SimulateConfig, recipe, overrides or []))
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(_table(found)))


def _table(found: dict[str, Any]) -> list[str]:
    sides = (found["recipe"], found["synchronous"])
    rows: list[tuple[str, list[str]]] = [
        ("", ["recipe", "synchronous"]),
        ("tokens per second", [f"{s['tokens_per_second']:,.0f}" for s in sides]),
        ("seconds per step", [f"{s['seconds'] / s['steps']:,.0f}" for s in sides]),
        ("trainer idle", [f"{s['trainer_idle']:.1%}" for s in sides]),
        ("slots idle", [f"{s['slots_idle']:.1%}" for s in sides]),
    ]
    ages = sorted({age for s in sides for age in s["staleness"]})
    for age in ages:
        shares = [s["staleness"].get(age, 0) / sum(s["staleness"].values()) for s in sides]
        rows.append((f"groups of staleness {age}", [f"{share:.1%}" for share in shares]))
    for reason in sorted({reason for s in sides for reason in s["dropped"]}):
        rows.append((f"dropped: {reason}", [f"{s['dropped'].get(reason, 0):,}" for s in sides]))
    rows += [
        ("tokens lost", [f"{s['lost_tokens']:,}" for s in sides]),
        ("crashes", [f"{s['crashes']:,}" for s in sides]),
    ]
    lines = [f"{name:22}" + "".join(f"{value:>16}" for value in values) for name, values in rows]
    return [*lines, "", f"{found['ratio']:.2f} times the tokens of the synchronous loop"]
