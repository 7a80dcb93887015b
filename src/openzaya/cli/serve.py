"""Verbs that put a model to work: serve, generate, quantize."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    model: Path,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, see the docs.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with the same keys.")] = None,
) -> None:
    """Serve MODEL (run or weights folder) to OpenAI-compatible clients."""
    from openzaya.cli.sampler import engine_of
    from openzaya.config.base import load_recipe
    from openzaya.config.serve import ServeConfig
    from openzaya.serve.server import listen
    from openzaya.serve.server import serve as run
    from openzaya.serve.service import Service

    config = load_recipe(ServeConfig, recipe, overrides or [])
    bound = listen(config.host, config.port)  # before the weights: a taken port shows at once
    engine, tokenizer = engine_of(
        model, max_sequences=config.max_sequences, max_step_tokens=config.max_step_tokens,
        cache_bytes=None if config.cache_gb is None else int(config.cache_gb * 1e9),
    )  # fmt: skip
    name = config.name or model.resolve().name
    service = Service(
        engine, tokenizer, config, name, api_key=os.environ.get(config.api_key_variable),
        control_token=os.environ.get(config.control_token_variable),
    )  # fmt: skip
    host, port = bound.getsockname()[:2]
    typer.echo(f"{name} at http://{host}:{port}/v1", err=True)
    run(service, bound)


def generate(
    model: Path,
    prompt: str,
    max_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    raw: Annotated[bool, typer.Option(help="Continue the text; no chat form.")] = False,
) -> None:
    """Write what MODEL answers to PROMPT, as it comes: the reasoning to stderr."""
    import sys

    from openzaya.cli.sampler import engine_of
    from openzaya.engine import Sequence
    from openzaya.serve.reply import Reply
    from openzaya.types import Message, SamplingParams

    engine, tokenizer = engine_of(model, max_sequences=1)
    if raw:
        ids = [tokenizer.bos_id, *tokenizer.encode(prompt)]
    else:
        ids = tokenizer.prompt_ids((Message("user", prompt),))
    params = SamplingParams(max_tokens, temperature, top_p, seed)
    s = Sequence(ids, params)
    reply = Reply(s, tokenizer, 0, thinks=not raw)
    engine.add(s)
    while engine.busy:
        engine.step()
        delta = reply.push() if engine.busy else reply.end()[0]
        print(delta.reasoning, end="", file=sys.stderr, flush=True)
        print(delta.content, end="", flush=True)
    print(flush=True)
