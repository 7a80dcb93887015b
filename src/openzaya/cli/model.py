"""`zaya model info` and `zaya convert`: what a network is, and its weights in another form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openzaya.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from openzaya.config.model import ModelConfig

model_app = typer.Typer(help="Look at a network.", no_args_is_help=True, rich_markup_mode=None)
KIND_BYTES = {"bf16": 2, "fp32": 4}


@model_app.callback()
def model() -> None:
    """Look at a network."""


@model_app.command()
def info(
    source: Annotated[Path, typer.Argument(help="A recipe, a run folder or a weights folder.")],
    context: Annotated[int, typer.Option(min=1, help="Tokens of a sequence.")] = 4096,
    dtype: Annotated[str, typer.Option(help="Type of the cache: bf16 or fp32.")] = "bf16",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Parameters by part, FLOPs per token and cache bytes of a network."""
    if dtype not in KIND_BYTES:
        raise ConfigError(f"no such type: {dtype}", "use --dtype bf16 or --dtype fp32")
    facts = _facts(_config(source), context, KIND_BYTES[dtype])
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for title, rows in facts.items():
        typer.echo(title)
        for name, value in rows.items():
            typer.echo(f"  {name:38}{value:>18,}")


def convert(
    source: Annotated[Path, typer.Argument(help="A weights folder, native or legacy layout.")],
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    dtype: Annotated[str | None, typer.Option(help="bf16 or fp32; default: as stored.")] = None,
    skip_expert: Annotated[
        str | None, typer.Option(help="zero or scaled: what the skip class computes.")
    ] = None,
    shard_gb: Annotated[float, typer.Option(min=0.001, help="Size of a shard.")] = 5.0,
) -> None:
    """Write a weights folder anew in the native Hugging Face layout, with a model card."""
    import shutil

    import torch

    from openzaya.model.card import write_card
    from openzaya.model.checkpoint import convert_model
    from openzaya.train.checkpoint import weights_folder

    kinds = {"bf16": torch.bfloat16, "fp32": torch.float32, None: None}
    if dtype not in kinds:
        raise ConfigError(f"no such type: {dtype}", "use --dtype bf16 or --dtype fp32")
    if skip_expert not in (None, "none", "zero", "scaled"):
        raise ConfigError(f"no such skip class: {skip_expert}", "use none, zero or scaled")
    if out.exists():
        raise CheckpointError(f"{out} exists already", "name a folder that does not")
    folder = weights_folder(source)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    config = convert_model(
        folder,
        temporary,
        dtype=kinds[dtype],
        skip_expert=skip_expert,
        shard_bytes=int(shard_gb * 1e9),
    )
    write_card(config, temporary)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, temporary / name)
    temporary.rename(out)
    typer.echo(f"{out}: {sum(f.stat().st_size for f in out.iterdir()) / 1e6:,.1f} MB")


def _config(source: Path) -> ModelConfig:
    """The shape in a recipe's [model] table, or beside weights."""
    from openzaya.config.base import load_recipe
    from openzaya.config.model import ModelRecipe
    from openzaya.model.checkpoint import load_config
    from openzaya.train.checkpoint import weights_folder

    if source.is_dir():
        return load_config(weights_folder(source))
    return load_recipe(ModelRecipe, source).model


def _facts(config: ModelConfig, context: int, width: int) -> dict[str, dict[str, int]]:
    from openzaya.model.account import (
        cache_values,
        count_parameters,
        decode_flops,
        prefill_flops,
        training_flops,
    )

    parameters = count_parameters(config)
    token, fixed = cache_values(config)
    return {
        "parameters": parameters.by_part
        | {
            "total": parameters.total,
            "active with embedding": parameters.active,
            "active without embedding": parameters.active_without_embedding,
            "state-dict entries": parameters.entries,
        },
        f"FLOPs per token, context {context}": {
            "prefill": prefill_flops(config, context).total,
            "decode at the end of it": decode_flops(config, context - 1).total,
            "training, forward and backward": training_flops(config, context).total,
        },
        f"cache bytes, {width} a value": {
            "per token": token * width,
            "per sequence, CCA context in fp32": fixed * 4,
            f"of a sequence of {context}": token * width * context + fixed * 4,
        },
    }
