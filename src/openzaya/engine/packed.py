"""A model in packed form, in memory and on disk.

A quantised folder holds one safetensors file per layer, with the very bytes that a decode step
reads, and one for the rest; mapped, it is ready at once and only what is read takes memory:

    config.json                  HF's, with quantization_config of method "openzaya"
    layer-00000.safetensors ...  NAME.words, NAME.scales, NAME.bias of matrices; vectors by name
    rest.safetensors             head, vectors that belong to no layer

config.json is written last: a folder without it holds no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.engine import packing
from openzaya.errors import CheckpointError
from openzaya.kernels.memory import page_out
from openzaya.kernels.network import MATRICES, VECTORS
from openzaya.kernels.packed import GROUP, Format, Packed
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import load_config, load_model
from openzaya.model.hf_config import to_hf
from openzaya.model.shards import read_json

METHOD = "openzaya"
REST = "rest.safetensors"
BITS = {16: Format.BF16, 8: Format.INT8, 4: Format.INT4}


@dataclass(frozen=True)
class PackedModel:
    """All layers, the head, and the vectors that belong to no layer."""

    config: ModelConfig
    layers: list[packing.Parts]
    head: Packed
    vectors: dict[str, Tensor]

    @classmethod
    def of(cls, model: ZayaForCausalLM, form: Format | None = None) -> PackedModel:
        """`form` of the matrices that may be quantised; None: as the weights are."""
        layers = list(packing.pack_layers(model, form or natural(model)))
        return cls(model.config, layers, *packing.pack_rest(model, form or natural(model)))

    @classmethod
    def open(cls, folder: Path, form: Format | None = None) -> PackedModel:
        """From a folder: a quantised one is mapped; another is packed in `form` (None: as it is
        stored), and what was read of it leaves memory layer by layer."""
        config = load_config(folder)
        if quantised_bits(folder) is None:
            model = load_model(folder)
            form = form or natural(model)
            layers = []
            for block, parts in zip(
                model.model.layers, packing.pack_layers(model, form), strict=True
            ):
                layers.append(parts)
                page_out(*block.parameters())
            packed = cls(config, layers, *packing.pack_rest(model, form))
            page_out(model.lm_head.weight)
            return packed
        names = [_layer_file(i) for i in range(config.num_hidden_layers)]
        rest = _read(folder / REST, packing.matrix_sizes(config))
        head = rest.pop("head", None)
        if not isinstance(head, Packed):
            raise CheckpointError(f"{folder / REST} holds no head", "copy the folder again")
        sizes = packing.matrix_sizes(config)
        layers = [_read(folder / name, sizes) for name in names]
        vectors = {k: v for k, v in rest.items() if isinstance(v, Tensor)}
        return cls(config, layers, head, vectors)

    @property
    def form(self) -> Format:
        return self.head.format

    @property
    def nbytes(self) -> int:
        parts = [p for layer in self.layers for p in layer.values() if p is not None]
        return sum(p.nbytes for p in (*parts, self.head, *self.vectors.values()))


def natural(model: ZayaForCausalLM) -> Format:
    """The weights' own type."""
    return Format.BF16 if model.lm_head.weight.dtype == torch.bfloat16 else Format.FP32


def quantised_bits(folder: Path) -> int | None:
    """Of a folder that `quantise` wrote; None for another."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    stored = read_json(path).get("quantization_config")
    if not isinstance(stored, dict) or stored.get("quant_method") != METHOD:
        return None
    if stored.get("bits") not in BITS or stored.get("group_size") != GROUP:
        raise CheckpointError(f"{path}: unknown quantization_config {stored}", "quantise again")
    return stored["bits"]


def quantise(model: ZayaForCausalLM, folder: Path, bits: int) -> Iterator[int]:
    """Write `model` into an existing, empty folder; yields the number of each layer written. More
    than one layer is never in memory."""
    form = BITS[bits]
    if not packing.serves(model.config):
        raise CheckpointError(
            "widths of this model are no multiples of 16", "only shapes of the native network"
        )
    for i, parts in enumerate(packing.pack_layers(model, form)):
        write(parts, folder / _layer_file(i))
        page_out(*model.model.layers[i].parameters())
        yield i
    head, vectors = packing.pack_rest(model, form)
    write({"head": head, **vectors}, folder / REST)
    write_config(model.config, folder, bits)


def write_config(config: ModelConfig, folder: Path, bits: int) -> None:
    table = to_hf(config, "float32") | {
        "quantization_config": {"quant_method": METHOD, "bits": bits, "group_size": GROUP}
    }
    (folder / "config.json").write_text(json.dumps(table, indent=2) + "\n")


def write(parts: Mapping[str, Packed | Tensor | None], path: Path) -> None:
    """One file."""
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, Packed):
            pieces = {"words": part.words, "scales": part.scales, "bias": part.bias}
            tensors |= {f"{name}.{k}": t for k, t in pieces.items() if t is not None}
        elif part is not None:
            tensors[name] = part
    save_file(tensors, path, metadata={"format": "pt"})


def _read(path: Path, sizes: Mapping[str, int]) -> packing.Parts:
    """A file's matrices and vectors, mapped. `sizes`: outputs of each matrix."""
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "copy the folder again") from error
    parts: packing.Parts = {}
    for name in {n.partition(".")[0] for n in stored}:
        if f"{name}.words" in stored and name in sizes:
            words, scales = stored[f"{name}.words"], stored.get(f"{name}.scales")
            parts[name] = Packed(words, scales, stored.get(f"{name}.bias"), sizes[name])
        elif name in stored and name in (*VECTORS, "input_scale", "input_bias", "final_norm"):
            parts[name] = stored[name]
        else:
            raise CheckpointError(f"{path}: unexpected tensor {name}", "copy the folder again")
    missing = [n for n in sizes if n in MATRICES and path.name != REST and n not in parts]
    if missing:
        raise CheckpointError(f"{path} lacks {missing[0]}", "copy the folder again")
    return parts


def _layer_file(i: int) -> str:
    return f"layer-{i:05d}.safetensors"
