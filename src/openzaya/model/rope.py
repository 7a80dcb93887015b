"""Partial rotary position embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from openzaya.config.model import ModelConfig

Rope = tuple[Tensor, Tensor]
"""cos and sin, fp32, each (N, rd / 2)."""


def rope_tables(config: ModelConfig, position_N: Tensor) -> list[Rope]:
    """cos and sin of pos * theta^(-2j/rd) for every layer; layers of one kind share theirs."""
    full = _table(config.rope_theta, config.rotary_dim // 2, position_N)
    if not config.sliding_layers:
        return [full] * config.num_hidden_layers
    sliding = _table(config.sliding_rope_theta, config.rotary_dim // 2, position_N)
    layers = range(config.num_hidden_layers)
    return [sliding if i in config.sliding_layers else full for i in layers]


def _table(theta: float, half: int, position_N: Tensor) -> Rope:
    channel = torch.arange(half, dtype=torch.float32, device=position_N.device)
    # 1 / theta^x, not theta^-x: the rounding of everyone else's tables.
    angle = position_N[:, None].float() * (1.0 / theta ** (channel / half))
    return angle.cos(), angle.sin()


def rotate(x_NHK: Tensor, rope: Rope) -> Tensor:
    """The first rd channels in half-split pairs (j, j + rd/2); the rest pass."""
    cos, sin = (t[:, None].to(x_NHK.dtype) for t in rope)
    half = cos.shape[-1]
    a, b, rest = x_NHK.split((half, half, x_NHK.shape[-1] - 2 * half), dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)
