"""Who writes in an evaluation: a model of inspect, and how its text is cut into tokens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from inspect_ai.model import GenerateConfig, Model, get_model, modelapi

from openzaya.config.sampler import SamplerConfig
from openzaya.engine.endpoint import Patience, base_url, connect
from openzaya.engine.remote import find_model
from openzaya.engine.sampler import EngineSampler
from openzaya.engine.text_tokens import EndpointTokens, LocalTokens, TextTokens
from openzaya.evals.provider import SamplerAPI

SERVICE = "zaya"
"""inspect's name for an endpoint's kind; nothing depends on it."""
NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Writer:
    """`tokens` opens the tokenizer for the time of one sample; only tails need it."""

    model: Model
    name: str
    window: int | None
    tokens: Callable[[], AbstractAsyncContextManager[TextTokens]]
    opens_think: bool = False
    openai: bool = False


def endpoint_writer(config: SamplerConfig) -> Writer:
    """A model behind an OpenAI-compatible endpoint, by inspect's own provider. EngineError where
    nobody answers, or it is not clear which model is meant."""
    assert config.endpoint is not None
    url, key = base_url(config.endpoint), os.environ.get(config.key_variable)

    async def ask() -> tuple[str, int | None]:
        async with connect(key, 1) as client:
            return await find_model(client, url, config.model)

    name, window = asyncio.run(ask())

    @asynccontextmanager
    async def tokens() -> AsyncIterator[TextTokens]:
        if config.tokenizer is not None:
            yield LocalTokens.load(config.tokenizer)
            return
        async with connect(key, config.concurrency) as client:
            patience = Patience(config.attempts, config.timeout)
            yield await EndpointTokens.find(client, url, name, patience)

    model = get_model(
        f"openai-api/{SERVICE}/{name}", base_url=url, api_key=key or NO_KEY, memoize=False,
        config=_patience(config), stream=True,  # a client that leaves frees its place
    )  # fmt: skip
    return Writer(model, name, window, tokens, config.opens_think, config.fields == "openai")


def sampler_writer(sampler: EngineSampler, name: str, config: SamplerConfig) -> Writer:
    """Our engine in this process."""
    local = LocalTokens(sampler.tokenizer.inner)

    @asynccontextmanager
    async def tokens() -> AsyncIterator[TextTokens]:
        yield local

    api: Any = modelapi(name=SERVICE)(lambda: SamplerAPI)  # which gives it a name in the logs
    model = Model(api(name, sampler, config.concurrency), _patience(config))
    return Writer(model, name, sampler.context_length, tokens)


def _patience(config: SamplerConfig) -> GenerateConfig:
    return GenerateConfig(
        max_retries=config.attempts - 1, attempt_timeout=int(config.timeout),
        max_connections=config.concurrency,
    )  # fmt: skip
