"""Verbs that put a model to work: serve, generate, chat, quantize."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from openzaya.config.serve import ServeConfig
    from openzaya.engine import Engine
    from openzaya.serve.frame import Host
    from openzaya.serve.reply import Reply
    from openzaya.tokenizer import Tokenizer
    from openzaya.types import SamplingParams


def serve(
    model: Annotated[
        Path | None, typer.Argument(help="Run folder or weights folder; none with --upstream.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, see the docs.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with the same keys.")] = None,
    upstream: Annotated[
        str | None, typer.Option(help="Endpoint to stand before, as http://localhost:8000/v1.")
    ] = None,
    model_name: Annotated[
        str | None, typer.Option("--model", help="Its model, where it has several.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Its tokenizer.json, where it has no /tokenize.")
    ] = None,
) -> None:
    """Serve MODEL to OpenAI-compatible clients, or give any endpoint Markovian RSA (--upstream)."""
    from openzaya.config.base import load_recipe
    from openzaya.config.serve import ServeConfig
    from openzaya.errors import ConfigError
    from openzaya.serve.server import listen
    from openzaya.serve.server import serve as run

    given = list(overrides or [])
    if model is not None and "=" in str(model):
        given.insert(0, str(model))
        model = None
    for key, value in (("endpoint", upstream), ("model", model_name), ("tokenizer", tokenizer)):
        if value is not None:
            given.append(f"upstream.{key}={value}")
    config = load_recipe(ServeConfig, recipe, given)
    if (model is None) == (config.upstream is None):
        raise ConfigError(
            "a server has one source: a model's folder, or --upstream",
            "zaya serve runs/demo/rl, or zaya serve --upstream http://localhost:8000/v1",
        )
    bound = listen(config.host, config.port)  # before the weights: a taken port shows at once
    if model is None:
        app, service, name = _before_endpoint(config)
    else:
        app, service, name = _with_model(model, config)
    host, port = bound.getsockname()[:2]
    typer.echo(f"{name} at http://{host}:{port}/v1", err=True)
    typer.echo(f"Markovian RSA, live: http://{host}:{port}/", err=True)
    run(app, service, bound)


def _with_model(model: Path, config: ServeConfig) -> tuple[Starlette, Host, str]:
    from openzaya.cli.sampler import engine_of
    from openzaya.serve.app import create_app
    from openzaya.serve.service import Service

    engine, tokenizer = engine_of(
        model, dtype=config.dtype, threads=config.threads,
        max_sequences=config.max_sequences, max_step_tokens=config.max_step_tokens,
        cache_bytes=None if config.cache_gb is None else int(config.cache_gb * 1e9),
    )  # fmt: skip
    name = config.name or model.resolve().name
    service = Service(
        engine, tokenizer, config, name, api_key=os.environ.get(config.api_key_variable),
        control_token=os.environ.get(config.control_token_variable),
    )  # fmt: skip
    return create_app(service), service, name


def _before_endpoint(config: ServeConfig) -> tuple[Starlette, Host, str]:
    from openzaya.serve.upstream import Upstream, create_app

    source = config.upstream
    assert source is not None and source.endpoint is not None
    service = Upstream(
        config, source, key=os.environ.get(source.key_variable),
        api_key=os.environ.get(config.api_key_variable),
    )  # fmt: skip
    return create_app(service), service, source.endpoint


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
