"""Somebody else's rollouts: a stronger model in a folder, or behind an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openzaya.config.sampler import SamplerConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.engine.remote import open_endpoint
from openzaya.model.checkpoint import load_model
from openzaya.tokenizer import Tokenizer
from openzaya.train.checkpoint import weights_folder
from openzaya.types import Sampler


@asynccontextmanager
async def open_expert(config: SamplerConfig) -> AsyncIterator[Sampler]:
    """The sampler that `config` names, until the end of the block."""
    if config.endpoint is not None:
        async with open_endpoint(config) as sampler:
            yield sampler
        return
    assert config.model is not None
    yield folder_sampler(config.model)


def folder_sampler(path: str) -> EngineSampler:
    """The engine of this process on the weights of a run folder or a weights folder."""
    folder = weights_folder(path)
    tokenizer = Tokenizer.load(folder)
    return EngineSampler(Engine(load_model(folder), tokenizer.im_end_id), tokenizer)
