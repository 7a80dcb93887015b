"""Compressed Convolutional Attention (arXiv 2510.04476; ZAYA1 report section 2).

Queries, keys and values live in a compressed latent (C channels instead of 16 full heads). Two
short causal convolutions mix q and k over time, q and k are coupled through their mean, half of
the value channels come from the previous token, and keys carry a learned temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.attention import attend, attend_cached
from openzaya.model.layout import Layout
from openzaya.model.mix import MixWeights, mix, project
from openzaya.model.rope import Rope
from openzaya.model.state import LayerState


class QKNorm(nn.Module):
    """Owner of the per-KV-head key temperature (raw, not exp: report appendix C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.temp = nn.Parameter(torch.empty(config.num_key_value_heads))


class QKVProjection(nn.Module):
    """Owner of the four projections and the two convolutions, under the published names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, k = config.hidden_size, config.head_dim
        q_width, kv_width = config.num_attention_heads * k, config.num_key_value_heads * k
        bias = config.attention_bias
        self.q_proj = nn.Linear(d, q_width, bias=bias)
        self.k_proj = nn.Linear(d, kv_width, bias=bias)
        self.v_proj_current = nn.Linear(d, kv_width // 2, bias=bias)
        self.v_proj_delayed = nn.Linear(d, kv_width // 2, bias=bias)
        channels = config.conv_channels
        self.conv_qk_depthwise = nn.Conv1d(channels, channels, 2, groups=channels)
        self.conv_qk_grouped = nn.Conv1d(channels, channels, 2, groups=channels // k)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, C + G*K): queries, keys, current values, delayed values; the last without bias."""
        parts = (self.q_proj, self.k_proj, self.v_proj_current, self.v_proj_delayed)
        biases = None
        if self.v_proj_delayed.bias is not None:
            biases = [p.bias for p in parts[:3]] + [torch.zeros_like(self.v_proj_delayed.bias)]
        return project(x_ND, [p.weight for p in parts], biases)

    def mix_weights(self, temp: Tensor) -> MixWeights:
        depthwise, grouped = self.conv_qk_depthwise, self.conv_qk_grouped
        assert depthwise.bias is not None and grouped.bias is not None
        return MixWeights(
            depthwise.weight,
            depthwise.bias,
            grouped.weight,
            grouped.bias,
            temp,
            self.v_proj_delayed.bias,
        )


class CCA(nn.Module):
    """Attention block: (N, D) normed input to (N, D)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        width = config.num_attention_heads * config.head_dim
        self.qkv_proj = QKVProjection(config)
        self.qk_norm = QKNorm(config)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=config.attention_bias)
        self.window = config.sliding_window if layer in config.sliding_layers else None
        self.hf = config.numerics == "hf"

    def forward(
        self, x_ND: Tensor, layout: Layout, rope: Rope, state: LayerState | None, last_only: bool
    ) -> Tensor:
        """`last_only`: all tokens are stored, but only each segment's last one attends."""
        weights = self.qkv_proj.mix_weights(self.qk_norm.temp)
        if layout.context is not None:
            projected = self.qkv_proj(x_ND)
            heads = layout.context.attention(projected, weights, rope, self.window, self.hf)
            return self.o_proj(heads.flatten(1))
        q, k, v = mix(self.qkv_proj(x_ND), weights, layout, rope, state, self.hf)
        if state is not None:
            state.append(k, v, layout)
        if last_only:
            assert state is not None
            heads = attend_cached(q[layout.last_B], layout.last_tokens, state, self.window)
        elif state is None or layout.is_fresh:
            heads = attend(q, k, v, layout, self.window)
        else:
            heads = attend_cached(q, layout, state, self.window)
        return self.o_proj(heads.flatten(1))
