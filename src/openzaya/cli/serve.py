"""Verbs that put a model to work: serve, generate, chat, quantize."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from openzaya.engine import Engine
    from openzaya.serve.reply import Reply
    from openzaya.tokenizer import Tokenizer
    from openzaya.types import SamplingParams


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
    from openzaya.cli.sampler import engine_of
    from openzaya.types import Message, SamplingParams

    engine, tokenizer = engine_of(model, max_sequences=1)
    if raw:
        ids = [tokenizer.bos_id, *tokenizer.encode(prompt)]
    else:
        ids = tokenizer.prompt_ids((Message("user", prompt),))
    params = SamplingParams(max_tokens, temperature, top_p, seed)
    _write(engine, tokenizer, ids, params, thinks=not raw)


def chat(
    model: Annotated[Path, typer.Argument()] = Path("runs/demo/rl"),
    max_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 0.95,
    seed: int = 0,
) -> None:
    """Talk to MODEL; an empty line or Ctrl-D ends it."""
    from openzaya.cli.sampler import engine_of
    from openzaya.errors import ZayaError
    from openzaya.types import Message, SamplingParams

    engine, tokenizer = engine_of(model, max_sequences=1)
    turns: list[Message] = []
    while True:
        try:
            text = input("you> ").strip()
        except EOFError:
            text = ""
        if not text:
            return
        question = Message("user", text)
        params = SamplingParams(max_tokens, temperature, top_p, seed + len(turns))
        try:
            ids = tokenizer.prompt_ids((*turns, question))
            reply = _write(engine, tokenizer, ids, params, thinks=True)
        except ZayaError as error:  # one bad line does not end a conversation
            typer.echo(f"error: {error}", err=True)
            continue
        turns += [question, Message("assistant", reply.content, reply.reasoning)]


def _write(
    engine: Engine, tokenizer: Tokenizer, ids: list[int], params: SamplingParams, thinks: bool
) -> Reply:
    """One sequence to the terminal, as its text comes."""
    from openzaya.engine import Sequence
    from openzaya.errors import EngineError
    from openzaya.serve.reply import Reply
    from openzaya.types import FinishReason

    s = Sequence(ids, params)
    reply = Reply(s, tokenizer, 0, thinks=thinks)
    engine.add(s)
    while s.finish is None:
        engine.step()
        delta = reply.push() if s.finish is None else reply.end()[0]
        print(delta.reasoning, end="", file=sys.stderr, flush=True)
        if delta.content and delta.content == reply.content and reply.reasoning:
            print(file=sys.stderr, flush=True)  # the answer begins on a line of its own
        print(delta.content, end="", flush=True)
    print(flush=True)
    if s.finish is FinishReason.ERROR:
        raise EngineError("the model's logits hold no finite number", "load other weights")
    if s.finish is FinishReason.LENGTH:
        typer.echo(f"(cut after {params.max_tokens} tokens)", err=True)
    return reply


def quantize(
    source: Path,
    out: Path,
    bits: Annotated[int, typer.Option(help="16 (bf16), 8 or 4.")] = 4,
) -> None:
    """Quantise the weights of SOURCE into the folder OUT, for `serve`, `chat` and `generate`.

    Experts, attention and head get BITS; router, norms, convolutions and the residual path stay
    exact.
    """
    import shutil

    from openzaya.engine.packed import BITS
    from openzaya.engine.packed import quantise as write
    from openzaya.errors import CheckpointError, ConfigError
    from openzaya.model.checkpoint import load_model
    from openzaya.train.checkpoint import weights_folder

    if bits not in BITS:
        raise ConfigError(f"no such width: {bits} bits", "use --bits 16, --bits 8 or --bits 4")
    if out.exists():
        raise CheckpointError(f"{out} exists already", "name a folder that does not")
    folder = weights_folder(source)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model = load_model(folder)
    for i in write(model, temporary, bits):
        typer.echo(f"layer {i + 1} of {model.config.num_hidden_layers}", err=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, temporary / name)
    temporary.rename(out)
    typer.echo(f"{out}: {sum(f.stat().st_size for f in out.iterdir()) / 1e6:,.1f} MB")
