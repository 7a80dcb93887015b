"""CCA between projections and attention: convolutions, mean coupling, QK norm, rotary, value shift.

`mix_torch` is the definition (arXiv 2510.04476; ZAYA1 report section 2); on a CPU the kernel does
the same in one pass. In bf16 the report keeps the mean coupling and the norm in fp32; `hf` rounds
them to bf16 where transformers does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from openzaya import kernels
from openzaya.model.layout import Layout, previous
from openzaya.model.precision import wide
from openzaya.model.rope import Rope, rotate
from openzaya.model.state import LayerState

MANY_ROWS = 256


@dataclass(frozen=True, slots=True)
class MixWeights:
    """The stored tensors between projections and attention, H + G heads of K channels."""

    depthwise: Tensor  # (C, 1, 2), tap of t-1 first
    depthwise_bias: Tensor  # (C)
    grouped: Tensor  # (C, K, 2): (head, out), in, tap
    grouped_bias: Tensor  # (C)
    temp: Tensor  # (G), raw, not exp (report, appendix C)
    value_bias: Tensor | None  # (G * K / 2), the delayed projection's


def mix(
    projected: Tensor, w: MixWeights, layout: Layout, rope: Rope, state: LayerState | None, hf: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """q (N, H, K), k and v (N, G, K) from (N, C + G*K); `state` moves on to the last token."""
    groups, k = w.temp.shape[0], w.grouped.shape[1]
    heads = w.depthwise.shape[0] // k - groups
    shape = (heads, groups, k)
    if kernels.usable(projected, w.grouped, lanes=(k, groups * k // 2)):
        carried = None
        if state is not None and not layout.is_fresh:
            carried = (state.conv_B2C, state.value_B, (layout.past_B > 0).to(torch.uint8))
        q_k_v = kernels.mix(
            projected, w.depthwise, w.depthwise_bias, w.grouped, w.grouped_bias, w.temp,
            w.value_bias, *rope, carried, layout.start_B, layout.length_B, heads, groups,
        )  # fmt: skip
    else:
        q_k_v = mix_torch(projected, w, layout, rope, state, hf, shape)
    if state is not None:
        channels = (heads + groups) * k
        delayed = projected[:, channels + groups * k // 2 :]
        state.carry(projected[:, :channels], delayed, layout)
    return q_k_v


def mix_torch(
    projected: Tensor,
    w: MixWeights,
    layout: Layout,
    rope: Rope,
    state: LayerState | None,
    hf: bool,
    shape: tuple[int, int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in PyTorch; `state` is only read."""
    heads, groups, k = shape
    half = groups * k // 2
    s_NC, current, delayed = projected.split(((heads + groups) * k, half, half), dim=1)
    old = previous(s_NC, layout, None if state is None else state.conv_B2C[:, 1])
    older = previous(old, layout, None if state is None else state.conv_B2C[:, 0])
    last = previous(delayed, layout, None if state is None else state.value_B)
    if w.value_bias is not None:
        # After the shift: before a document the delayed input is zero, its projection is not.
        last = last + w.value_bias
    v = torch.cat([current, last], dim=1).unflatten(1, (groups, k))

    # Both zero columns stand before the first convolution, so its output before a document is its
    # bias and not zero: computing it from the columns themselves says so without a special case.
    before, now = wide(w.depthwise[:, 0]).unbind(-1)
    y_now = torch.addcmul(torch.addcmul(wide(w.depthwise_bias), old, before), s_NC, now)
    y_old = torch.addcmul(torch.addcmul(wide(w.depthwise_bias), older, before), old, now)
    window = torch.cat(
        [y.to(s_NC.dtype).unflatten(1, (heads + groups, k)) for y in (y_old, y_now)], dim=2
    )
    taps = w.grouped.view(heads + groups, k, k, 2).permute(0, 3, 2, 1).flatten(1, 2)
    bias = w.grouped_bias.view(-1, 1, k)
    mixed = torch.baddbmm(bias, window.transpose(0, 1), taps).transpose(0, 1)

    # Mean coupling of the RAW projections.
    kind = s_NC.dtype if hf else wide(s_NC[:0]).dtype
    raw = s_NC.unflatten(1, (heads + groups, k)).to(kind)
    mean_q = (raw[:, :heads].unflatten(1, (groups, -1)) + raw[:, heads:, None]) * 0.5
    mean = torch.cat([mean_q.flatten(1, 2), mean_q.mean(2)], dim=1)
    qk = mixed.to(kind) + mean

    # Unit length times sqrt(K); keys times temp.
    norm = torch.linalg.vector_norm(qk, dim=-1, keepdim=True).clamp(torch.finfo(kind).eps)
    qk = qk * (k**0.5 / norm)
    q, key = qk[:, :heads], qk[:, heads:] * w.temp.to(kind)[:, None]
    return rotate(q, rope).to(v.dtype), rotate(key, rope).to(v.dtype), v


def project(x_ND: Tensor, weights: list[Tensor], biases: list[Tensor] | None) -> Tensor:
    """All projections side by side.

    For few rows in one product, since a decode step is bound by the number of calls; for many, and
    without gradient, in place one by one, which spares joining the weights.
    """
    if x_ND.shape[0] >= MANY_ROWS and biases is None and not torch.is_grad_enabled():
        out = x_ND.new_empty(x_ND.shape[0], sum(w.shape[0] for w in weights))
        for part, weight in zip(out.split([w.shape[0] for w in weights], 1), weights, strict=True):
            torch.mm(x_ND, weight.t(), out=part)
        return out
    return F.linear(x_ND, torch.cat(weights), torch.cat(biases) if biases else None)
