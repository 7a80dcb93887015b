"""The list of verbs and the one place where errors become lines for people.

A verb is a plain function in a file beside this one and one `app.command()` line at the end.
Those files import torch and its friends inside the functions: `zaya --help` must stay instant.
"""

from __future__ import annotations

import errno
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from openzaya.cli.cascade import cascade
from openzaya.cli.config import config
from openzaya.cli.data import data_app
from openzaya.cli.doctor import doctor
from openzaya.cli.envs import envs_app
from openzaya.cli.evaluate import evaluate
from openzaya.cli.model import convert, model_app
from openzaya.cli.rl import rl_app
from openzaya.cli.serve import chat, generate, quantize, serve
from openzaya.cli.solve import replay, solve
from openzaya.cli.train import demo, report, train
from openzaya.errors import RunError, ZayaError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
DISK_FULL = RunError(
    "the disk is full; every checkpoint and every metric written so far is kept",
    "free some space (df -h shows where), then run the same command again to go on",
)

EXTRAS: dict[str, str] = dict.fromkeys(
    ("starlette", "uvicorn", "sse_starlette", "prometheus_client"), "serve"
)
EXTRAS |= dict.fromkeys(("math_verify", "sympy", "networkx"), "envs")
EXTRAS |= dict.fromkeys(("datatrove", "datasets", "grain", "pyarrow"), "data")
EXTRAS |= dict.fromkeys(("inspect_ai", "lm_eval", "langdetect", "immutabledict"), "eval")
"""Packages of the optional parts, and what to install for them."""


class ErrorBoundary(TyperGroup):
    """Runs the chosen verb. What a user can cause is printed in two lines; bugs keep traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # The flag is global, and people add it to the end of the line that just failed.
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                traceback.print_exc()
            line = "interrupted; nothing is lost, run the same command again to go on"
            typer.echo(line, err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except Exception as raised:
            error = _user_error(raised)
            if error is None:
                raise
            if ctx.params["debug"]:
                traceback.print_exc()
            typer.echo(f"error: {error.message}", err=True)
            if error.hint:
                typer.echo(f"try: {error.hint}", err=True)
            raise typer.Exit(EXIT_USER_ERROR) from None


def _user_error(raised: BaseException) -> ZayaError | None:
    """The error to show for `raised`; None when it is a bug of ours."""
    while isinstance(raised, BaseExceptionGroup):  # task groups wrap what their tasks raise
        raised = raised.exceptions[0]
    if isinstance(raised, ZayaError):
        return raised
    if isinstance(raised, ModuleNotFoundError) and (raised.name or "") in EXTRAS:
        extra = EXTRAS[raised.name or ""]
        return ZayaError(
            f"this needs the package {raised.name}", f"pip install 'openzaya[{extra}]'"
        )
    # safetensors writes from Rust and reports the system's error as text only.
    from_rust = f"(os error {errno.ENOSPC})" in str(raised)
    return DISK_FULL if from_rust or getattr(raised, "errno", None) == errno.ENOSPC else None


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich costs more to import than all of this file
)


@app.callback()
def zaya(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error.")
    ] = False,
) -> None:
    """OpenZAYA: the whole ZAYA1-8B system, open and small enough to run here."""


def main() -> None:
    """Entry point of the `zaya` command."""
    app()


app.command()(doctor)
app.command()(config)
for verb in (demo, solve, replay, chat, generate, serve, train, cascade, report, convert, quantize):
    app.command()(verb)
app.command("eval")(evaluate)
app.add_typer(model_app, name="model")
app.add_typer(data_app, name="data")
app.add_typer(rl_app, name="rl")
app.add_typer(envs_app, name="envs")
