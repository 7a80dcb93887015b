"""What decoding carries from one token to the next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.model.layout import Layout

FEW_SEGMENTS = 8
"""Up to here a copy per segment is faster than one indexed write."""


@dataclass(slots=True)
class LayerState:
    """One layer's share: keys and values after norm, temperature and RoPE, plus CCA's context."""

    k_BGTK: Tensor
    v_BGTK: Tensor
    conv_B2C: Tensor  # the last two RAW q|k columns (before the convolutions), older first
    value_B: Tensor  # the last token's delayed-value projection

    def append(self, k_NGK: Tensor, v_NGK: Tensor, layout: Layout) -> None:
        """Store the keys and values of the layout's tokens at their positions."""
        if len(layout.lengths) < FEW_SEGMENTS and not layout.is_decode:
            k, v = k_NGK.split(layout.lengths), v_NGK.split(layout.lengths)
            for row, (length, past) in enumerate(zip(layout.lengths, layout.past, strict=True)):
                at = slice(past, past + length)
                self.k_BGTK[row, :, at] = k[row].transpose(0, 1)
                self.v_BGTK[row, :, at] = v[row].transpose(0, 1)
            return
        rows = layout.segment_N, slice(None), layout.position_N
        self.k_BGTK[rows] = k_NGK.to(self.k_BGTK.dtype)
        self.v_BGTK[rows] = v_NGK.to(self.v_BGTK.dtype)

    def carry(self, s_NC: Tensor, value_NV: Tensor, layout: Layout) -> None:
        """Keep the last two raw q|k columns and the last delayed value of each segment."""
        kind = self.conv_B2C.dtype
        if layout.is_decode:
            self.conv_B2C = torch.stack([self.conv_B2C[:, 1], s_NC.to(kind)], dim=1)
            self.value_B = value_NV.to(kind).contiguous()
            return
        last_B = layout.last_B
        alone = (layout.length_B == 1).to(layout.device)[:, None]
        before = s_NC[(last_B - 1).clamp(min=0)].to(kind)
        before = torch.where(alone, self.conv_B2C[:, 1], before)
        self.conv_B2C = torch.stack([before, s_NC[last_B].to(kind)], dim=1)
        self.value_B = value_NV[last_B].to(kind)


@dataclass(slots=True)
class DecodeState:
    """Keys, values and CCA context of B sequences, `lengths` tokens of each.

    A prefix cache or a fork needs all of it: keys and values alone do not continue a sequence,
    because the next token's convolution reads the last two raw columns and its value half reads
    the last delayed value.
    """

    layers: list[LayerState]
    lengths: list[int]

    @classmethod
    def empty(
        cls,
        config: ModelConfig,
        rows: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> DecodeState:
        """Room for `rows` sequences of up to `capacity` tokens, keys and values in `dtype`.

        The CCA context is fp32 with the report's numerics, `dtype` with transformers'.
        """
        g, k = config.num_key_value_heads, config.head_dim
        context = dtype if config.numerics == "hf" else torch.float32

        def layer() -> LayerState:
            return LayerState(
                torch.zeros(rows, g, capacity, k, dtype=dtype, device=device),
                torch.zeros(rows, g, capacity, k, dtype=dtype, device=device),
                torch.zeros(rows, 2, config.conv_channels, dtype=context, device=device),
                torch.zeros(rows, g * k // 2, dtype=context, device=device),
            )

        return cls([layer() for _ in range(config.num_hidden_layers)], [0] * rows)

    @property
    def capacity(self) -> int:
        return self.layers[0].k_BGTK.shape[2]

    def select(self, rows: list[int]) -> DecodeState:
        """A copy of some rows (repeats allowed): compaction, forking, snapshot and restore."""
        index = torch.tensor(rows, device=self.layers[0].k_BGTK.device)
        layers = [
            LayerState(s.k_BGTK[index], s.v_BGTK[index], s.conv_B2C[index], s.value_B[index])
            for s in self.layers
        ]
        return DecodeState(layers, [self.lengths[r] for r in rows])
