"""Weights on disk: the native Hugging Face `zaya` folder.

    model.safetensors                or, above one shard, model-00001-of-0000N.safetensors and
    model.safetensors.index.json     which shard holds which tensor
    generation_config.json           token ids and sampling defaults
    config.json                      shape (`hf_config`), what HF has no name for under "openzaya"

config.json is written last: a folder without it holds no model, so a killed save leaves none.
The tied head is not stored.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model import legacy, skip_row
from openzaya.model.hf_config import from_hf, to_hf
from openzaya.model.legacy import Part
from openzaya.model.shards import INDEX, SINGLE, read_json, read_tensors
from openzaya.model.zaya import ZayaForCausalLM

SHARD_BYTES = 5 * 10**9
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
Skip = Literal["none", "zero", "scaled"]


def save_model(
    model: ZayaForCausalLM,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write the weights into an existing folder without any; `dtype` converts them.

    Tensors are converted one shard at a time: memory beyond the model's is one shard.
    """
    state = {name: t for name, t in model.state_dict().items() if name != HEAD}
    _write(state, model.config, folder, dtype, shard_bytes)


def convert_model(
    source: Path,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    skip_expert: Skip | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> ModelConfig:
    """What `save_model` writes of what `load_model` reads, but never more than a shard in memory:
    experts that the legacy layout stores one by one are stacked as they are written."""
    config = load_config(source, skip_expert=skip_expert)
    _write(_read(source, config), config, folder, dtype, shard_bytes)
    return config


def load_config(
    folder: Path, *, skip_expert: Skip | None = None, numerics: str | None = None
) -> ModelConfig:
    """The shape stored beside the weights; the keyword arguments override what it says."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no model: config.json is missing", "check the path")
    stored = read_json(path)
    if legacy.is_legacy(stored):
        stored = legacy.native_config(stored, str(path))
    return from_hf(stored, str(path), skip_expert=skip_expert, numerics=numerics)


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    skip_expert: Skip | None = None,
    numerics: str | None = None,
) -> ZayaForCausalLM:
    """Rebuild the network. Every tensor must be there with its shape, and none besides.

    Weights stay on disk until they are read (a private mapping: training them in place does not
    reach the file); `dtype` converts them, balancing biases stay fp32. `skip_expert` and
    `numerics` override the folder's own.
    """
    config = load_config(folder, skip_expert=skip_expert, numerics=numerics)
    tensors: dict[str, Tensor] = {}
    for name, part in _read(folder, config).items():
        kind = torch.float32 if name.endswith("balancing_biases") else dtype
        tensors[name] = _joined(part, kind)
    with torch.device("meta"):
        model = ZayaForCausalLM(config)
    model.load_state_dict(tensors | {HEAD: tensors[EMBEDDING]}, assign=True)
    model.tie()
    return model.requires_grad_(True)


def has_weights(folder: Path) -> bool:
    """Whether the folder holds weights, in one file or in shards."""
    return (folder / SINGLE).is_file() or (folder / INDEX).is_file()


def _write(
    parts: Mapping[str, Part],
    config: ModelConfig,
    folder: Path,
    dtype: torch.dtype | None,
    shard_bytes: int,
) -> None:
    if has_weights(folder) or (folder / "config.json").exists():
        raise CheckpointError(f"{folder} holds a model already", "save into an empty folder")
    embedding = parts[EMBEDDING]
    assert isinstance(embedding, Tensor)
    kind = dtype or embedding.dtype
    shards = _split(parts, kind, shard_bytes)
    count, total = len(shards), 0
    places: dict[str, str] = {}
    for i, shard in enumerate(shards):
        name = SINGLE if count == 1 else f"model-{i + 1:05d}-of-{count:05d}.safetensors"
        tensors: dict[str, Tensor] = {}
        for key in shard:
            wanted = torch.float32 if key.endswith("balancing_biases") else kind
            tensors[key] = _joined(parts[key], wanted).contiguous()
        if _is_stored_wide(config):
            tensors = _each_gate(tensors, lambda g, _: skip_row.widen(g, config.rms_norm_eps))
        total += sum(t.numel() * t.element_size() for t in tensors.values())
        places |= dict.fromkeys(tensors, name)
        save_file(tensors, folder / name, metadata={"format": "pt"})
        _flush(folder / name)
    if count > 1:
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    ids = ("bos_token_id", "eos_token_id", "pad_token_id")
    generation = {key: getattr(config, key) for key in ids}
    _write_json(folder / "generation_config.json", generation | {"do_sample": True})
    _write_json(folder / "config.json", to_hf(config, str(kind).removeprefix("torch.")))
    _flush(folder)


def _split(parts: Mapping[str, Part], kind: torch.dtype, shard_bytes: int) -> list[list[str]]:
    """Names in pieces of at most `shard_bytes`; a layer's router stays in one piece."""
    size = torch.empty((), dtype=kind).element_size()
    groups: dict[str, list[str]] = {}
    for name in parts:
        groups.setdefault(_gate_of(name) or name, []).append(name)
    shards: list[list[str]] = [[]]
    filled = 0
    for group in groups.values():
        needed = sum(math.prod(_shape(parts[name])) * size for name in group)
        if shards[-1] and filled + needed > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1] += group
        filled += needed
    return shards


def _joined(part: Part, kind: torch.dtype | None) -> Tensor:
    tensor = part.detach() if isinstance(part, Tensor) else torch.stack(part)
    return tensor.to(kind or tensor.dtype)


def _shape(part: Part) -> tuple[int, ...]:
    if isinstance(part, Tensor):
        return tuple(part.shape)
    return len(part), *part[0].shape


def _is_stored_wide(config: ModelConfig) -> bool:
    return config.skip_expert == "none" and config.router == "mlp"


def _gate_of(name: str) -> str | None:
    """The prefix of a router's tensors."""
    before, found, _ = name.partition(".mlp.gate.")
    return before + found if found else None


def _each_gate(tensors: dict[str, Tensor], change: Any) -> dict[str, Tensor]:
    """`tensors` with every router replaced by change(router, prefix)."""
    gates: dict[str, skip_row.Gate] = {}
    for name, tensor in tensors.items():
        if prefix := _gate_of(name):
            gates.setdefault(prefix, {})[name.removeprefix(prefix)] = tensor
    changed = {p + n: t for p, gate in gates.items() for n, t in change(gate, p).items()}
    return {name: changed.get(name, tensor) for name, tensor in tensors.items()}


def _read(folder: Path, config: ModelConfig) -> Mapping[str, Part]:
    """Everything stored, checked, in the model's names and order; the tied head left out."""
    stored = read_tensors(folder)
    if legacy.is_legacy(read_json(folder / "config.json")):
        parts = legacy.native_parts(stored, config, f"{folder}: ")
    else:
        parts: dict[str, Part] = dict(stored)
    head, embedding = parts.pop(HEAD, None), parts.get(EMBEDDING)
    if isinstance(head, Tensor) and isinstance(embedding, Tensor) and not head.equal(embedding):
        raise CheckpointError(
            f"{folder}: {HEAD} differs from {EMBEDDING}",
            "only checkpoints whose head is the embedding are supported",
        )
    wide = _is_stored_wide(config)
    shapes = _stored_shapes(config, wide)
    _check(folder, shapes, parts)
    parts = {name: parts[name] for name in shapes}
    if not wide:
        return parts
    eps, where = config.rms_norm_eps, f"{folder}: "
    tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
    return _each_gate(tensors, lambda g, at: skip_row.narrow(g, eps, where + at))


def _stored_shapes(config: ModelConfig, wide: bool) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a folder must hold."""
    with torch.device("meta"):
        state = ZayaForCausalLM(config).state_dict()
    del state[HEAD]
    if wide:
        state = _each_gate(state, lambda gate, _: skip_row.wide_shapes(gate))
    return {name: tuple(t.shape) for name, t in state.items()}


def _check(folder: Path, shapes: dict[str, tuple[int, ...]], found: Mapping[str, Part]) -> None:
    for name in sorted(shapes.keys() | found.keys()):
        want = shapes.get(name, "no such tensor")
        got = _shape(found[name]) if name in found else "nothing"
        if want != got:
            others = len(shapes.keys() ^ found.keys()) - 1
            more = f" ({others} more are missing or unexpected)" if others > 0 else ""
            raise CheckpointError(
                f"{folder}: {name}: expected {want}, found {got}{more}",
                "config.json and the weights belong to different models",
            )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    _flush(temporary)
    os.replace(temporary, path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
