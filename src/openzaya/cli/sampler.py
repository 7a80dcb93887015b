"""Who writes for a verb: a model folder, or a model behind an endpoint."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openzaya.config.aggregate import SamplerConfig
    from openzaya.engine import Engine, EngineSampler
    from openzaya.tokenizer import Tokenizer
    from openzaya.types import Sampler


def engine_of(model: Path, **settings: Any) -> tuple[Engine, Tokenizer]:
    """Our engine with the weights of a run folder or a weights folder."""
    from openzaya import kernels
    from openzaya.engine import Engine, packing
    from openzaya.engine.packed import PackedModel, quantised_bits
    from openzaya.model.checkpoint import load_config, load_model
    from openzaya.tokenizer import Tokenizer
    from openzaya.train.checkpoint import weights_folder

    folder = model if quantised_bits(model) else weights_folder(model)
    tokenizer = Tokenizer.load(folder)
    native = kernels.library() is not None and packing.serves(load_config(folder))
    engine = Engine(
        PackedModel.open(folder) if native else load_model(folder),
        tokenizer.im_end_id,
        end_think_id=tokenizer.end_think_id,
        **settings,
    )
    return engine, tokenizer


def local_sampler(model: Path) -> EngineSampler:
    """A sampler on that engine."""
    from openzaya.engine import EngineSampler

    return EngineSampler(*engine_of(model))


@asynccontextmanager
async def open_sampler(config: SamplerConfig) -> AsyncIterator[Sampler]:
    """The sampler that `config` names, until the end of the block."""
    from openzaya.engine.http import HTTPSampler
    from openzaya.tokenizer import Tokenizer

    if config.endpoint is None:
        yield local_sampler(Path(config.model))
        return
    assert config.tokenizer is not None
    async with HTTPSampler(
        config.endpoint, config.model, Tokenizer.load(config.tokenizer),
        key=os.environ.get(config.key_variable),
        concurrency=config.concurrency, timeout=config.timeout,
    ) as sampler:  # fmt: skip
        yield sampler
