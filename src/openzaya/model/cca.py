"""Compressed Convolutional Attention (arXiv 2510.04476; ZAYA1 report section 2).

Queries, keys and values live in a compressed latent (C channels instead of 16 full heads). Two
short causal convolutions mix q and k over time, q and k are coupled through their mean, half of
the value channels come from the previous token, and keys carry a learned temperature.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.layout import Layout, collect, previous, spread
from openzaya.model.state import LayerState


class QKNorm(nn.Module):
    """Owner of the per-KV-head key temperature (raw, not exp: report appendix C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.temp = nn.Parameter(torch.empty(config.num_key_value_heads))


class QKVProjection(nn.Module):
    """x to q, k and v: projections, mean coupling, the two convolutions, the value shift."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        q_width, kv_width = self.heads * self.head_dim, self.groups * self.head_dim
        self.splits = (q_width + kv_width, kv_width // 2, kv_width // 2)
        bias = config.attention_bias
        self.q_proj = nn.Linear(d, q_width, bias=bias)
        self.k_proj = nn.Linear(d, kv_width, bias=bias)
        self.v_proj_current = nn.Linear(d, kv_width // 2, bias=bias)
        self.v_proj_delayed = nn.Linear(d, kv_width // 2, bias=bias)
        channels = config.conv_channels
        # Holders of the stored tensors; the two convolutions run folded into one (see `taps`).
        self.conv_qk_depthwise = nn.Conv1d(channels, channels, 2, groups=channels)
        self.conv_qk_grouped = nn.Conv1d(channels, channels, 2, groups=self.heads + self.groups)

    def taps(self) -> tuple[Tensor, Tensor]:
        """The two convolutions as one three-tap convolution per head, and its bias.

        Both paddings sit before the first convolution, so the pair collapses exactly for every
        position, document starts included: there the second convolution reads the first one's
        bias, which is what zero columns through the folded form give.
        Returns (heads, 3 * K, K), tap order t, t-1, t-2, and (heads, K).
        """
        n, k = self.heads + self.groups, self.head_dim
        w0 = self.conv_qk_depthwise.weight.view(n, 1, k, 2)
        w1 = self.conv_qk_grouped.weight.view(n, k, k, 2)  # head, out, in, tap
        old0, now0 = w0.unbind(-1)
        old1, now1 = w1.unbind(-1)
        taps = torch.cat([now1 * now0, old1 * now0 + now1 * old0, old1 * old0], dim=2)
        b0 = self.conv_qk_depthwise.bias
        b1 = self.conv_qk_grouped.bias
        assert b0 is not None and b1 is not None
        bias = b1.view(n, k) + torch.einsum("noi,ni->no", old1 + now1, b0.view(n, k))
        return taps.transpose(1, 2), bias

    def forward(
        self, x_ND: Tensor, layout: Layout, state: LayerState | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Unnormalised q (N, H, K) and k (N, G, K), and v (N, G, K)."""
        parts = (self.q_proj, self.k_proj, self.v_proj_current, self.v_proj_delayed)
        bias = torch.cat([p.bias for p in parts[:3]]) if self.q_proj.bias is not None else None
        if bias is not None:
            bias = F.pad(bias, (0, self.splits[-1]))
        # One product for all four projections: a decode step is bound by the number of calls.
        projected = F.linear(x_ND, torch.cat([p.weight for p in parts]), bias)
        s_NC, current, delayed = projected.split(self.splits, dim=1)
        older, old, last = _context(s_NC, delayed, layout, state)
        if bias is not None:
            # After the shift: before a document the delayed input is zero, its projection is not.
            last = last + self.v_proj_delayed.bias

        n = self.heads + self.groups
        window = torch.cat([t.view(-1, n, self.head_dim) for t in (s_NC, old, older)], dim=2)
        taps, tap_bias = self.taps()
        mixed = torch.baddbmm(tap_bias[:, None], window.transpose(0, 1), taps).transpose(0, 1)

        # Mean coupling of the RAW projections, fp32 (report's list).
        raw = s_NC.view(-1, n, self.head_dim).float()
        q_NGRK = raw[:, : self.heads].unflatten(1, (self.groups, -1))
        k_NGK = raw[:, self.heads :]
        mean_q = (q_NGRK + k_NGK[:, :, None]) * 0.5
        q = mixed[:, : self.heads] + mean_q.flatten(1, 2)
        k = mixed[:, self.heads :] + mean_q.mean(2)
        v = torch.cat([current, last], dim=1).view(-1, self.groups, self.head_dim)
        return q, k, v


def _context(
    s_NC: Tensor, delayed_N: Tensor, layout: Layout, state: LayerState | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(s[t-2], s[t-1], delayed value of t-1), zero before a document; `state` moves on."""
    if state is None:
        old = previous(s_NC, layout, None)
        older = previous(old, layout, None)
        return older, old, previous(delayed_N, layout, None)
    before = state.conv_B2C
    old = previous(s_NC, layout, before[:, 1])
    older = previous(old, layout, before[:, 0])
    last = previous(delayed_N, layout, state.value_B)
    end = slice(None) if layout.is_decode else layout.start_B + torch.tensor(layout.lengths) - 1
    state.conv_B2C = torch.stack([old[end], s_NC[end]], dim=1)
    state.value_B = delayed_N[end]
    return older, old, last


class CCA(nn.Module):
    """Attention block: (N, D) normed input to (N, D)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.qkv_proj = QKVProjection(config)
        self.qk_norm = QKNorm(config)
        self.o_proj = nn.Linear(
            config.num_attention_heads * config.head_dim,
            config.hidden_size,
            bias=config.attention_bias,
        )
        self.window = config.sliding_window if layer in config.sliding_layers else None

    def forward(
        self, x_ND: Tensor, layout: Layout, rope: tuple[Tensor, Tensor], state: LayerState | None
    ) -> Tensor:
        q, k, v = self.qkv_proj(x_ND, layout, state)
        # Norm over heads of q and k at once, fp32: unit length times sqrt(K), keys times temp.
        qk = torch.cat([q, k], dim=1).float()
        eps = torch.finfo(torch.float32).eps
        scale = qk.shape[-1] ** 0.5 / torch.linalg.vector_norm(qk, dim=-1, keepdim=True).clamp(eps)
        ones = scale.new_ones(q.shape[1])
        scale = scale * torch.cat([ones, self.qk_norm.temp.float()])[:, None]
        qk = rotate(qk * scale, *rope).to(x_ND.dtype)
        q, k = qk[:, : q.shape[1]], qk[:, q.shape[1] :]
        if state is not None:
            _append(state, layout, k, v)
        if state is None or layout.is_fresh:
            heads = _attend_packed(q, k, v, layout, self.window)
        else:
            heads = _attend_cached(q, layout, state, self.window)
        return self.o_proj(heads.flatten(1))


def rope_table(config: ModelConfig, position_N: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of pos * theta^(-2j/rd), fp32, each (N, 1, rd / 2)."""
    half = config.rotary_dim // 2
    inverse = config.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = position_N[:, None, None].float() * inverse
    return angle.cos(), angle.sin()


def rotate(x_NHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Partial RoPE: the first rd channels, half-split pairs (j, j + rd/2); the rest pass."""
    half = cos.shape[-1]
    a, b, rest = x_NHK.split((half, half, x_NHK.shape[-1] - 2 * half), dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def _attend_packed(
    q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, layout: Layout, window: int | None
) -> Tensor:
    """Causal attention inside each document: buckets of documents, right-padded."""
    heads, groups = q_NHK.shape[1], k_NGK.shape[1]
    padded = spread(torch.cat([q_NHK, k_NGK, v_NGK], dim=1), layout)
    outputs = []
    for bucket, chunk in zip(
        layout.buckets, padded.split([b.rows * b.length for b in layout.buckets]), strict=True
    ):
        qkv = chunk.view(bucket.rows, bucket.length, -1, chunk.shape[-1]).transpose(1, 2)
        q, k, v = qkv.split((heads, groups, groups), dim=1)
        if window is None or window >= bucket.length:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            time = torch.arange(bucket.length)
            gap = time[:, None] - time
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=(gap >= 0) & (gap < window), enable_gqa=True
            )
        outputs.append(out.transpose(1, 2).reshape(-1, heads, chunk.shape[-1]))
    return collect(torch.cat(outputs), layout)


def _append(state: LayerState, layout: Layout, k_NGK: Tensor, v_NGK: Tensor) -> None:
    state.k_BGTK[layout.segment_N, :, layout.position_N] = k_NGK.to(state.k_BGTK.dtype)
    state.v_BGTK[layout.segment_N, :, layout.position_N] = v_NGK.to(state.v_BGTK.dtype)


def _attend_cached(q_NHK: Tensor, layout: Layout, state: LayerState, window: int | None) -> Tensor:
    """New queries against everything stored. Decode is the case of one query per sequence."""
    groups, width = state.k_BGTK.shape[1], max(layout.lengths)
    total = max(n + p for n, p in zip(layout.lengths, layout.past, strict=True))
    k_BGTK, v_BGTK = state.k_BGTK[:, :, :total], state.v_BGTK[:, :, :total]
    rows = len(layout.lengths)
    if layout.is_decode:
        q_BTHK, position_BT = q_NHK[:, None], layout.position_N[:, None]
    else:
        q_BTHK = q_NHK.new_zeros(rows, width, *q_NHK.shape[1:])
        q_BTHK[layout.segment_N, layout.offset_N] = q_NHK
        position_BT = torch.tensor(layout.past)[:, None] + torch.arange(width)
    q = q_BTHK.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)  # B G (R T) K
    score = torch.matmul(q, k_BGTK.transpose(2, 3)).float() * q.shape[-1] ** -0.5
    gap_BTT = position_BT[:, :, None] - torch.arange(total)
    hidden = gap_BTT < 0 if window is None else (gap_BTT < 0) | (gap_BTT >= window)
    repeats = q.shape[2] // width
    score = score.masked_fill(hidden[:, None].repeat(1, 1, repeats, 1), float("-inf"))
    out = torch.matmul(score.softmax(-1).to(v_BGTK.dtype), v_BGTK)
    out_BTHK = out.unflatten(2, (repeats, width)).permute(0, 3, 1, 2, 4).flatten(2, 3)
    return out_BTHK[:, 0] if layout.is_decode else out_BTHK[layout.segment_N, layout.offset_N]
