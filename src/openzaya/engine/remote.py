"""A sampler behind an endpoint, as a recipe names it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from openzaya.config.sampler import SamplerConfig
from openzaya.engine.endpoint import Patience, base_url, connect, served, shown
from openzaya.engine.http import HTTPSampler
from openzaya.engine.text_tokens import EndpointTokens, LocalTokens
from openzaya.errors import EngineError
from openzaya.types import Sampler


@asynccontextmanager
async def open_endpoint(config: SamplerConfig) -> AsyncIterator[Sampler]:
    """The sampler at `config.endpoint`, until the end of the block.

    It is asked first what it serves and how it tokenizes: what cannot work shows before a token is
    paid for.
    """
    assert config.endpoint is not None
    url, key = base_url(config.endpoint), os.environ.get(config.key_variable)
    tokens = LocalTokens.load(config.tokenizer) if config.tokenizer is not None else None
    patience = Patience(config.attempts, config.timeout)
    async with connect(key, config.concurrency) as client:
        name, window = await find_model(client, url, config.model)
        if tokens is None:
            tokens = await EndpointTokens.find(client, url, name, patience)
        async with HTTPSampler(
            url, name, tokens, key=key, concurrency=config.concurrency, patience=patience,
            fields=config.fields, opens_think=config.opens_think, context_length=window,
            extra={k: None if v == "none" else v for k, v in config.extra.items()},
        ) as sampler:  # fmt: skip
            yield sampler


async def find_model(
    client: httpx.AsyncClient, url: str, name: str | None
) -> tuple[str, int | None]:
    """(name of the model, tokens that it holds if that is known): `name`, or the only one."""
    models = await served(client, url)
    name = name or _only([m.name for m in models], url)
    return name, next((m.context_length for m in models if m.name == name), None)


def _only(names: list[str], url: str) -> str:
    """The model of an endpoint that has one."""
    if len(names) == 1:
        return names[0]
    many = f"has {len(names)} models" if names else "does not say which models it has"
    known = f"; it has {', '.join(names[:8])}" if names else ""
    raise EngineError(f"{shown(url)} {many}", f"name one: --model-name NAME{known}")
