"""Causal grouped-query attention inside each document, by the best means the device has.

fp32 on a CPU: our kernel. Half precision on CUDA: PyTorch's varlen attention. Everywhere else:
scaled_dot_product_attention on documents of similar length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from openzaya import kernels
from openzaya.model.layout import Layout
from openzaya.model.precision import wide
from openzaya.model.shuffle import Padding
from openzaya.model.state import LayerState

HALF = (torch.float16, torch.bfloat16)


def attend(
    q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, layout: Layout, window: int | None
) -> Tensor:
    """(N, H, K) of documents that continue nothing. `window` counts the query's own position."""
    if kernels.usable(q_NHK, k_NGK, v_NGK, lanes=(q_NHK.shape[-1],)):
        spans = (layout.start_B, layout.length_B)
        return kernels.attention(q_NHK, k_NGK, v_NGK, *spans, window or 0)
    if q_NHK.is_cuda and q_NHK.dtype in HALF:
        edges, longest = layout.edge_B, layout.longest
        out = varlen_attn(
            q_NHK, k_NGK, v_NGK, edges, edges, longest, longest,
            window_size=(-1 if window is None else window - 1, 0), enable_gqa=True,
        )  # fmt: skip
        assert isinstance(out, Tensor)
        return out
    return _attend_padded(q_NHK, k_NGK, v_NGK, layout, window)


@torch.compiler.disable()
def _attend_padded(
    q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, layout: Layout, window: int | None
) -> Tensor:
    """Buckets of documents, right-padded: causality keeps the padding out of every real row."""
    sizes = (q_NHK.shape[1], k_NGK.shape[1], v_NGK.shape[1])
    padding = Padding.of(layout)
    outputs = []
    for batch in padding.spread(torch.cat([q_NHK, k_NGK, v_NGK], dim=1)):
        q, k, v = batch.transpose(1, 2).split(sizes, dim=1)
        length = batch.shape[1]
        if window is None or window >= length:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            time = torch.arange(length, device=q.device)
            gap = time[:, None] - time
            seen = (gap >= 0) & (gap < window)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
        outputs.append(out.transpose(1, 2))
    return padding.collect(outputs)


def attend_cached(q_NHK: Tensor, layout: Layout, state: LayerState, window: int | None) -> Tensor:
    """New queries against everything stored. Decode is the case of one query per sequence."""
    if not layout.is_decode and kernels.usable(q_NHK, state.k_BGTK, lanes=(q_NHK.shape[-1],)):
        spans = (layout.start_B, layout.length_B, layout.length_B + layout.past_B)
        return kernels.attention_cached(q_NHK, state.k_BGTK, state.v_BGTK, *spans, window or 0)
    groups, width, device = state.k_BGTK.shape[1], max(layout.lengths), q_NHK.device
    total = max(n + p for n, p in zip(layout.lengths, layout.past, strict=True))
    k_BGTK, v_BGTK = state.k_BGTK[:, :, :total], state.v_BGTK[:, :, :total]
    if layout.is_decode:
        q_BTHK, position_BT = q_NHK[:, None], layout.position_N[:, None]
    else:
        q_BTHK = q_NHK.new_zeros(len(layout.lengths), width, *q_NHK.shape[1:])
        q_BTHK[layout.segment_N, layout.offset_N] = q_NHK
        position_BT = layout.past_B.to(device)[:, None] + torch.arange(width, device=device)
    q = q_BTHK.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)  # B G (R T) K
    score = wide(torch.matmul(q, k_BGTK.transpose(2, 3))) * q.shape[-1] ** -0.5
    gap_BTT = position_BT[:, :, None] - torch.arange(total, device=device)
    hidden = gap_BTT < 0 if window is None else (gap_BTT < 0) | (gap_BTT >= window)
    repeats = q.shape[2] // width
    score = score.masked_fill(hidden[:, None].repeat(1, 1, repeats, 1), float("-inf"))
    out = torch.matmul(score.softmax(-1).to(v_BGTK.dtype), v_BGTK)
    out_BTHK = out.unflatten(2, (repeats, width)).permute(0, 3, 1, 2, 4).flatten(2, 3)
    return out_BTHK[:, 0] if layout.is_decode else out_BTHK[layout.segment_N, layout.offset_N]
