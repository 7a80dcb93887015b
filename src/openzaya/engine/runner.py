"""How a step's rows become logits: natively on a CPU, or through the trainer's own forward.

Both keep keys, values and CCA context in blocks and slots and take the same rows. The native
runner's results for a row depend on its sequence alone, to the bit.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from openzaya import kernels
from openzaya.config.model import ModelConfig
from openzaya.engine import packing
from openzaya.engine.packed import PackedModel
from openzaya.engine.torch_runner import TorchRunner
from openzaya.kernels.network import BLOCK, Cache, Network, Rows
from openzaya.model import ZayaForCausalLM


class Runner(Protocol):
    """The network and the cache it moves on."""

    def load(self, model: ZayaForCausalLM | PackedModel) -> None:
        """Go on with these weights; the cache stays."""
        ...

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """fp32 logits (W, V) of the wanted rows, and choices (N, L) uint8."""
        ...

    def restore(self, slot: int, block: int) -> None:
        """The slot goes on after the last position of a full block."""
        ...

    def fork(self, slot: int, to: int, block: int, to_block: int) -> None:
        """Copy a slot, and a block where the two differ."""
        ...


class NativeRunner:
    """One call of the C++ network per step."""

    def __init__(self, model: PackedModel, blocks: int, slots: int) -> None:
        config = model.config
        self.config, self.form = config, model.form
        self.threads = torch.get_num_threads()
        state = 2 * config.conv_channels + config.num_key_value_heads * config.head_dim // 2
        self.cache = Cache.empty(
            config.num_hidden_layers, blocks, slots, config.num_key_value_heads, config.head_dim,
            state,
        )  # fmt: skip
        self.load(model)

    def load(self, model: ZayaForCausalLM | PackedModel) -> None:
        """A model in other form is packed as the first one was."""
        if isinstance(model, ZayaForCausalLM):
            model = PackedModel.of(model, self.form)
        self.packed = model
        config = model.config
        frequency = packing.frequencies(config)
        layers = [
            {**parts, "frequency": f} for parts, f in zip(model.layers, frequency, strict=True)
        ]
        self.network = Network(
            packing.network_sizes(config), config.rms_norm_eps, layers, packing.windows(config),
            model.head, model.vectors, self.cache,
        )  # fmt: skip

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        choices = torch.empty(len(rows.ids_N), self.config.num_hidden_layers, dtype=torch.uint8)
        return self.network.forward(rows, self.threads, choices), choices

    def restore(self, slot: int, block: int) -> None:
        self.cache.context[:, slot] = self.cache.edges[:, block]

    def fork(self, slot: int, to: int, block: int, to_block: int) -> None:
        self.cache.context[:, to] = self.cache.context[:, slot]
        if block != to_block:
            for part in (self.cache.keys, self.cache.values):
                part[:, to_block] = part[:, block]


def block_bytes(config: ModelConfig, element: int = 4) -> int:
    """Memory of one block: keys, values and the context after it."""
    kv = 2 * config.num_key_value_heads * config.head_dim * BLOCK * element
    context = (2 * config.conv_channels + config.num_key_value_heads * config.head_dim // 2) * 4
    return config.num_hidden_layers * (kv + context)


def make_runner(model: ZayaForCausalLM | PackedModel, blocks: int, slots: int) -> Runner:
    """Native where the weights are on a CPU, of a shape it serves, and kernels can be built."""
    if isinstance(model, PackedModel):
        return NativeRunner(model, blocks, slots)
    weight = model.lm_head.weight
    wide = weight.dtype in (torch.float32, torch.bfloat16)
    on_cpu = weight.device.type == "cpu" and kernels.library() is not None
    if on_cpu and wide and packing.serves(model.config):
        return NativeRunner(PackedModel.of(model), blocks, slots)
    return TorchRunner(model, blocks, slots)
