"""`zaya data`: build a recipe's training data, and look at what was built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from openzaya.config.data import DataConfig
    from openzaya.data.example import Example
    from openzaya.tokenizer import Tokenizer

data_app = typer.Typer(
    help="Build training data, and look at it.", no_args_is_help=True, rich_markup_mode=None
)
Overrides = Annotated[
    list[str] | None, typer.Argument(help="section.key=value, as many as you like.")
]


@data_app.callback()
def data() -> None:
    """Build training data, and look at it."""


@data_app.command()
def build(
    recipe: Path,
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option(help="Build anew what is there.")] = False,
) -> None:
    """Read, trim, encode and pack the sources of RECIPE's [data] table into data.folder."""
    from rich.console import Console

    from openzaya.data.build import build as build_data

    config = _config(recipe, overrides)
    with Console(stderr=True).status(f"building {config.folder}"):
        manifest = build_data(config, overwrite)
    if manifest:
        _show(manifest, config)
    else:
        typer.echo(f"submitted; {config.folder} appears when the last job is done")


@data_app.command()
def aggregate(recipe: Path, out: Path, overrides: Overrides = None) -> None:
    """Make SFT examples for Markovian RSA in OUT; the same line again makes what is missing."""
    import asyncio

    from rich.console import Console

    from openzaya.cli.sampler import open_sampler
    from openzaya.config.aggregate import AggregateConfig
    from openzaya.config.base import load_recipe
    from openzaya.run_dir import RunDir
    from openzaya.ttc.aggregate import SOURCE_FILE
    from openzaya.ttc.aggregate import aggregate as make_examples

    config = load_recipe(AggregateConfig, recipe, overrides or [])

    async def run_all(run: RunDir) -> int:
        with Console(stderr=True).status("asking") as status:
            tell = lambda done, total: status.update(f"{done} of {total} problems")  # noqa: E731
            async with open_sampler(config.writer) as writer:
                if config.teacher is None:
                    return await make_examples(config, run, writer, writer, tell)
                async with open_sampler(config.teacher) as teacher:
                    return await make_examples(config, run, writer, teacher, tell)

    with RunDir.create(out, config, resume=True) as run:
        count = asyncio.run(run_all(run))
    typer.echo(f"{out / SOURCE_FILE}: {count} examples")


@data_app.command()
def inspect(
    recipe: Annotated[Path, typer.Argument(help="A recipe, or the folder it was built into.")],
    overrides: Overrides = None,
    source: Annotated[str | None, typer.Option(help="One source only.")] = None,
    windows: Annotated[int, typer.Option("-n", min=0, help="Windows to print.")] = 1,
    held_out: Annotated[bool, typer.Option(help="Held-out windows.")] = False,
    verify: Annotated[bool, typer.Option(help="Compare every checksum.")] = False,
) -> None:
    """Show what was built, and windows of it; targets of the loss are green, or in ⟦brackets⟧."""
    from rich.console import Console

    from openzaya.data.corpus import Corpus
    from openzaya.errors import DataError

    config = _config(recipe, overrides)
    corpus = Corpus.open(config)
    if source is not None and source not in corpus.train:
        raise DataError(f"no source is called {source!r}", f"there are {', '.join(corpus.train)}")
    if verify:
        corpus.verify()
    _show(corpus.manifest, config)
    console = Console(soft_wrap=True)
    for name, split in (corpus.validation if held_out else corpus.train).items():
        if source in (None, name):
            for number in range(min(windows, len(split))):
                console.rule(f"{name}, window {number}")
                for document in split.windows[number]:
                    example = split.documents[document]
                    text = _marked(example, corpus.tokenizer, bare=console.color_system is None)
                    place = f"{split.documents.place(document)}, {len(example)} tokens"
                    console.print(place, text, sep="\n", highlight=False)


def _config(recipe: Path, overrides: list[str] | None) -> DataConfig:
    from openzaya.config.base import load_recipe
    from openzaya.config.data import DataRecipe
    from openzaya.data.manifest import built_config

    if recipe.is_dir():
        return built_config(recipe)
    return load_recipe(DataRecipe, recipe, overrides or []).data


def _show(manifest: dict[str, Any], config: DataConfig) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from openzaya.data.manifest import column

    table = Table(box=box.SIMPLE)
    table.add_column("")
    columns = {name: column(facts) for name, facts in manifest["sources"].items()}
    for name in columns:
        table.add_column(name, justify="right")
    for row in next(iter(columns.values())):
        table.add_row(row, *(counts[row] for counts in columns.values()))
    Console(soft_wrap=True).print(table)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in config.weights().items())
    typer.echo(f"{config.folder}: windows of {config.window}; mixture {shares}")
    typer.echo(f"fingerprint {manifest['fingerprint']}")


def _marked(example: Example, tokenizer: Tokenizer, bare: bool) -> Text:
    """The document's text; what is a target of the loss has a colour, or `bare` brackets."""
    import numpy as np
    from rich.text import Text

    text = Text()
    edges = np.flatnonzero(np.diff(example.loss_mask)) + 1
    for ids, mask in zip(
        np.split(example.ids, edges), np.split(example.loss_mask, edges), strict=True
    ):
        piece = tokenizer.decode(ids.tolist(), skip_special=False)
        if mask[0]:
            text.append(f"⟦{piece}⟧" if bare else piece, "green")
        else:
            text.append(piece, "dim")
    return text
