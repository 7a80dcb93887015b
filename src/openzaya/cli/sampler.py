"""Who writes for a verb: a model folder, or a model behind an endpoint."""

from __future__ import annotations

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
    """The sampler that `config` names, until the end of the block."""
    if config.endpoint is None:
        assert config.model is not None
        yield local_sampler(Path(config.model))
        return
    from openzaya.engine.remote import open_endpoint

    async with open_endpoint(config) as sampler:
        yield sampler
