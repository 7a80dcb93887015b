"""Who writes for a verb: a model folder, or a model behind an endpoint."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openzaya.config.aggregate import SamplerConfig
    from openzaya.config.serve import DType
    from openzaya.engine import Engine, EngineSampler
    from openzaya.tokenizer import Tokenizer
    from openzaya.types import Sampler


def engine_of(
    model: Path, *, dtype: DType = "stored", threads: int | None = None, **settings: Any
) -> tuple[Engine, Tokenizer]:
    """Our engine with the weights of a run folder or a weights folder, on as many threads as
    decode fastest where `threads` names no count; the same for `dtype` "auto"."""
    import torch

    from openzaya import kernels
    from openzaya.engine import Engine, packing
    from openzaya.engine.calibrate import fastest
    from openzaya.engine.packed import PackedModel, quantised_bits
    from openzaya.errors import ConfigError
    from openzaya.kernels.packed import Format
    from openzaya.model.checkpoint import load_config, load_model
    from openzaya.tokenizer import Tokenizer
    from openzaya.train.checkpoint import weights_folder

    folder = model if quantised_bits(model) else weights_folder(model)
    tokenizer = Tokenizer.load(folder)
    native = kernels.library() is not None and packing.serves(load_config(folder))
    if threads is not None:
        torch.set_num_threads(threads)
    if dtype not in ("stored", "auto") and quantised_bits(folder):
        raise ConfigError(f"{folder} is quantised: dtype {dtype} does not apply", "leave it out")

    def engine(form: Format | None) -> Engine:
        kind = {Format.FP32: torch.float32, Format.BF16: torch.bfloat16, None: None}[form]
        weights = PackedModel.open(folder, form) if native else load_model(folder, dtype=kind)
        ids = {"end_id": tokenizer.im_end_id, "end_think_id": tokenizer.end_think_id}
        return Engine(weights, **ids, **settings)

    forms = {
        "stored": [None], "float32": [Format.FP32], "bfloat16": [Format.BF16],
        "auto": [None] if quantised_bits(folder) else [Format.FP32, Format.BF16],
    }[dtype]  # fmt: skip
    if threads is not None and len(forms) == 1:
        return engine(forms[0]), tokenizer
    return fastest([partial(engine, form) for form in forms]), tokenizer


def local_sampler(model: Path) -> EngineSampler:
    """A sampler on that engine."""
    from openzaya.engine import EngineSampler

    return EngineSampler(*engine_of(model))


@asynccontextmanager
async def open_sampler(config: SamplerConfig) -> AsyncIterator[Sampler]:
    """The sampler that `config` names, until the end of the block.

    An endpoint is asked first what it serves and how it tokenizes: what cannot work shows before a
    token is paid for.
    """
    if config.endpoint is None:
        assert config.model is not None
        yield local_sampler(Path(config.model))
        return
    from openzaya.engine.endpoint import Patience, base_url, connect, served
    from openzaya.engine.http import HTTPSampler
    from openzaya.engine.text_tokens import EndpointTokens, LocalTokens

    url, key = base_url(config.endpoint), os.environ.get(config.key_variable)
    tokens = LocalTokens.load(config.tokenizer) if config.tokenizer is not None else None
    patience = Patience(config.attempts, config.timeout)
    async with connect(key, config.concurrency) as client:
        models = await served(client, url)
        name = config.model or _only([m.name for m in models], url)
        window = next((m.context_length for m in models if m.name == name), None)
        if tokens is None:
            tokens = await EndpointTokens.find(client, url, name, patience)
        async with HTTPSampler(
            url, name, tokens, key=key, concurrency=config.concurrency, patience=patience,
            fields=config.fields, opens_think=config.opens_think, context_length=window,
            extra={k: None if v == "none" else v for k, v in config.extra.items()},
        ) as sampler:  # fmt: skip
            yield sampler


def _only(names: list[str], url: str) -> str:
    """The model of an endpoint that has one."""
    if len(names) == 1:
        return names[0]
    from openzaya.engine.endpoint import shown
    from openzaya.errors import EngineError

    many = f"has {len(names)} models" if names else "does not say which models it has"
    known = f"; it has {', '.join(names[:8])}" if names else ""
    raise EngineError(f"{shown(url)} {many}", f"name one: --model-name NAME{known}")
