"""The verb that reasons with a model by Markovian RSA: solve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openzaya.cli.sampler import local_sampler

Model = Annotated[Path, typer.Option(help="Run folder or weights folder.")]
_DEFAULT_MODEL = Path("runs/demo/rl")


def solve(
    problem: str,
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value")] = None,
    model: Model = _DEFAULT_MODEL,
    recipe: Path = Path("recipes/tiny/rsa.toml"),
) -> None:
    """Answer PROBLEM by Markovian RSA: the answer on stdout, the rounds on stderr."""
    import asyncio

    from openzaya.config.base import load_recipe
    from openzaya.config.demo import RSARecipe
    from openzaya.ttc.rsa import Candidate, markovian_rsa
    from openzaya.ttc.vote import majority
    from openzaya.types import Message

    config = load_recipe(RSARecipe, recipe, overrides or []).rsa()

    def show(c: Candidate) -> None:
        answer = c.answer if c.answer is not None else "..."
        typer.echo(f"round {c.round} slot {c.slot}: {c.completion.reasoning} -> {answer}", err=True)

    messages = (Message("user", problem),)
    result = asyncio.run(
        markovian_rsa(messages, local_sampler(model), config, run_id=problem, on_event=show)
    )
    answer, agreement = majority([c.answer for c in result.populations[-1]])
    cost = result.cost
    typer.echo(
        f"{agreement:.0%} of {config.population} agree; {cost.decode_tokens} tokens written, "
        f"{cost.prefill_tokens} read",
        err=True,
    )
    typer.echo(answer if answer is not None else "no answer")
    if answer is None:
        raise typer.Exit(1)
