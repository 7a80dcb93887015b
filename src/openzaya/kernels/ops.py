"""The kernels as differentiable PyTorch functions. All tensors are fp32 on the CPU.

Shape suffixes as in `openzaya.model`. Each function names its PyTorch form, which is the
definition; the kernel only runs it in one pass.
"""

# pyright: reportIncompatibleMethodOverride=false
# once_differentiable, as PyTorch types it, hides the name of `backward`'s first parameter.
from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_void_p
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from openzaya.kernels.build import library

LANES = 16
"""Rows must be a multiple of the widest vector: no kernel handles a rest."""


def usable(*tensors: Tensor, lanes: tuple[int, ...] = ()) -> bool:
    """Whether the kernels serve these tensors, whose rows have the sizes `lanes`."""
    return (
        all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
        and all(n % LANES == 0 for n in lanes)
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def serves_indices(x: Tensor) -> bool:
    """`usable` for index tensors."""
    return (
        x.dtype == torch.int64
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def _call(name: str, *arguments: Any) -> None:
    """Tensors travel as pointers, None as a null pointer, the thread count goes last."""
    assert all(a.is_contiguous() for a in arguments if isinstance(a, Tensor)), name
    function = getattr(library(), name)
    converted = [
        c_void_p(a.data_ptr()) if isinstance(a, Tensor) else c_void_p(None) if a is None else a
        for a in arguments
    ]
    function(*converted, c_int(torch.get_num_threads()))


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        y, inverse = torch.empty_like(x), x.new_empty(rows)
        _call("rms_norm_forward", x, weight, y, inverse, c_int64(rows), c_int(width), c_float(eps))
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.empty_like(weight)
        sizes = (c_int64(inverse.numel()), c_int(x.shape[-1]))
        _call("rms_norm_backward", x, weight, inverse, grads[0].contiguous(), dx, dw, *sizes)
        return dx, dw, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`F.rms_norm` over the last dimension."""
    return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return]


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, branch: Tensor, residual: Tensor, *vectors: Tensor) -> Tensor:
        branch, residual = branch.contiguous(), residual.contiguous()
        out = torch.empty_like(residual)
        sizes = (c_int64(out.numel() // out.shape[-1]), c_int(out.shape[-1]))
        _call("merge_forward", branch, residual, *vectors, out, *sizes)
        ctx.save_for_backward(branch, residual, *vectors)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        branch, residual, *vectors = ctx.saved_tensors
        dbranch, dresidual = torch.empty_like(branch), torch.empty_like(residual)
        width = branch.shape[-1]
        dvectors = branch.new_empty(4, width)
        sizes = (c_int64(branch.numel() // width), c_int(width))
        out = (grads[0].contiguous(), dbranch, dresidual, dvectors)
        _call("merge_backward", branch, residual, *vectors, *out, *sizes)
        return dbranch, dresidual, *dvectors.unbind(0)


def residual_merge(
    branch: Tensor, residual: Tensor, hs: Tensor, hb: Tensor, rs: Tensor, rb: Tensor
) -> Tensor:
    """(branch + hb) * hs + (residual + rb) * rs."""
    return _Merge.apply(branch, residual, hs, hb, rs, rb)  # type: ignore[no-any-return]


class _MergeNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, branch: Tensor, residual: Tensor, eps: float, *vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        branch, residual = branch.contiguous(), residual.contiguous()
        out, y = torch.empty_like(residual), torch.empty_like(residual)
        rows, width = out.shape
        inverse = out.new_empty(rows)
        sizes = (c_int64(rows), c_int(width), c_float(eps))
        _call("merge_norm_forward", branch, residual, *vectors, out, y, inverse, *sizes)
        ctx.save_for_backward(branch, residual, *vectors, out, inverse)
        return out, y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        branch, residual, *vectors, out, inverse = ctx.saved_tensors
        dbranch, dresidual = torch.empty_like(branch), torch.empty_like(residual)
        rows, width = branch.shape
        dvectors = branch.new_empty(5, width)
        dout, dy = (g.contiguous() for g in grads)
        _call(
            "merge_norm_backward", branch, residual, *vectors, out, inverse, dout, dy,
            dbranch, dresidual, dvectors, c_int64(rows), c_int(width),
        )  # fmt: skip
        return dbranch, dresidual, None, *dvectors.unbind(0)


def merge_norm(
    branch_ND: Tensor, residual_ND: Tensor, eps: float, *vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """`residual_merge`, and `rms_norm` of it; `vectors` are hs, hb, rs, rb and the norm's weight.

    One pass backward, where both gradients of the merged stream meet.
    """
    return _MergeNorm.apply(branch_ND, residual_ND, eps, *vectors)  # type: ignore[no-any-return]


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        w0: Tensor,
        b0: Tensor,
        w1: Tensor,
        b1: Tensor,
        temp: Tensor,
        value_bias: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        carried: tuple[Tensor, Tensor, Tensor] | None,
        start_B: Tensor,
        length_B: Tensor,
        heads: int,
        groups: int,
        learns: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, k = projected.shape[0], w1.shape[1]
        q, key = projected.new_empty(n, heads, k), projected.new_empty(n, groups, k)
        value = projected.new_empty(n, groups, k)
        u = projected.new_empty(n, heads + groups, k) if learns else None
        sizes = (c_int(heads), c_int(groups), c_int(k), c_int(cos.shape[-1]))
        _call(
            "cca_forward", projected, w0, b0, w1, b1, temp, value_bias, cos, sin,
            *(carried or (None, None, None)), q, key, value, u, c_int(start_B.numel()),
            start_B, length_B, *sizes,
        )  # fmt: skip
        assert not (learns and carried), "a continued segment has no gradient"
        ctx.save_for_backward(projected, w0, b0, w1, temp, cos, sin, u, start_B, length_B)
        ctx.sizes, ctx.has_bias = sizes, value_bias is not None
        return q, key, value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        projected, w0, b0, w1, temp, cos, sin, u, start_B, length_B = ctx.saved_tensors
        dq, dk, dv = (g.contiguous() for g in grads)
        dprojected = torch.empty_like(projected)
        dw0, db0, dw1 = torch.empty_like(w0), torch.empty_like(b0), torch.empty_like(w1)
        db1 = torch.empty_like(b0)
        dtemp = projected.new_empty(projected.shape[0], temp.numel())
        _call(
            "cca_backward", projected, w0, b0, w1, temp, cos, sin, u, dq, dk, dv, dprojected,
            dw0, db0, dw1, db1, dtemp, c_int64(projected.shape[0]), c_int(start_B.numel()),
            start_B, length_B, *ctx.sizes,
        )  # fmt: skip
        dbias = dv.flatten(1)[:, dv[0].numel() // 2 :].sum(0) if ctx.has_bias else None
        return dprojected, dw0, db0, dw1, db1, dtemp.sum(0), dbias, *(None,) * 8


def mix(
    projected: Tensor,
    w0: Tensor,
    b0: Tensor,
    w1: Tensor,
    b1: Tensor,
    temp: Tensor,
    value_bias: Tensor | None,
    cos: Tensor,
    sin: Tensor,
    carried: tuple[Tensor, Tensor, Tensor] | None,
    start_B: Tensor,
    length_B: Tensor,
    heads: int,
    groups: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Projections to q (N, H, K), k and v (N, G, K): `model.mix.mix_torch`.

    `carried` is (conv (B, 2, C), value (B, G*K/2), continued (B) uint8).
    """
    return _Mix.apply(  # type: ignore[no-any-return]
        projected.contiguous(), w0.contiguous(), b0, w1.contiguous(), b1, temp, value_bias,
        cos.contiguous(), sin.contiguous(), carried, start_B, length_B, heads, groups,
        torch.is_grad_enabled() and projected.requires_grad,
    )  # fmt: skip


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, start_B: Tensor, length_B: Tensor, window: int
    ) -> Tensor:
        out, lse = _attend(q, k, v, (0, 1), start_B, length_B, start_B, length_B, window)
        ctx.save_for_backward(q, k, v, out, lse, start_B, length_B)
        ctx.window = window
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse, start_B, length_B = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        (n, heads, dim), groups = q.shape, k.shape[1]
        _call(
            "attention_backward", q, c_int64(q.stride(0)), k, v,
            c_int64(k.stride(0)), c_int64(k.stride(1)), c_int64(v.stride(0)), c_int64(v.stride(1)),
            out, lse, grads[0].contiguous(), dq, dk, dv, c_int64(n), c_int(start_B.numel()),
            c_int(heads), c_int(groups), c_int(dim), c_int(ctx.window), start_B, length_B,
        )  # fmt: skip
        return dq, dk, dv, None, None, None


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    row_and_group: tuple[int, int],
    q_start_B: Tensor,
    q_length_B: Tensor,
    k_start_B: Tensor,
    k_length_B: Tensor,
    window: int,
) -> tuple[Tensor, Tensor]:
    """`row_and_group` names the dimensions of k and v that count tokens and groups."""
    n, heads, dim = q.shape
    row, group = row_and_group
    out, lse = q.new_empty(n, heads, dim), q.new_empty(n, heads)
    strides = [c_int64(t.stride(d)) for t in (k, v) for d in (row, group)]
    _call(
        "attention_forward", q, c_int64(q.stride(0)), k, v, *strides, out, lse,
        c_int(q_start_B.numel()), c_int(heads), c_int(k.shape[group]), c_int(dim), c_int(window),
        q_start_B, q_length_B, k_start_B, k_length_B,
    )  # fmt: skip
    return out, lse


def attention(
    q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, start_B: Tensor, length_B: Tensor, window: int
) -> Tensor:
    """Causal attention inside each document, scale K^-0.5; `window` 0 sees all before."""
    parts = (q_NHK.contiguous(), k_NGK.contiguous(), v_NGK.contiguous())
    return _Attention.apply(*parts, start_B, length_B, window)  # type: ignore[no-any-return]


def attention_cached(
    q_NHK: Tensor,
    k_BGTK: Tensor,
    v_BGTK: Tensor,
    start_B: Tensor,
    length_B: Tensor,
    total_B: Tensor,
    window: int,
) -> Tensor:
    """The last `length_B` positions of each sequence against all `total_B` stored ones."""
    rows_B = torch.arange(k_BGTK.shape[0]) * (k_BGTK.stride(0) // k_BGTK.stride(2))
    q = q_NHK.contiguous()
    args = (start_B, length_B, rows_B[: start_B.numel()], total_B, window)
    return _attend(q, k_BGTK, v_BGTK, (2, 1), *args)[0]


def sort_by_class(choice_N: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """(order, inverse, counts): a stable argsort of small integers, and how many there are."""
    order_N, inverse_N = torch.empty_like(choice_N), torch.empty_like(choice_N)
    count_E = choice_N.new_empty(classes)
    out = (order_N, inverse_N, count_E)
    _call("sort_by_class", choice_N, *out, c_int64(choice_N.numel()), c_int(classes))
    return out


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        w1: Tensor,
        w2: Tensor,
        order_N: Tensor,
        count_E: Tensor,
        scaled: bool,
        learns: bool,
    ) -> Tensor:
        experts, width, units = w2.shape
        y, hidden = torch.empty_like(x), None
        if learns:
            measure = library().experts_hidden_size  # type: ignore[union-attr]
            measure.restype = c_int64
            size = measure(c_void_p(count_E.data_ptr()), c_int64(experts), c_int64(units))
            hidden = x.new_empty(size)
        sizes = (c_int64(n) for n in (x.shape[0], experts, width, units))
        _call(
            "experts_forward", x, order_N, count_E, weight, w1, w2, y, hidden, *sizes,
            c_int(scaled),
        )  # fmt: skip
        ctx.save_for_backward(x, weight, w1, w2, order_N, count_E, hidden)
        ctx.scaled = scaled
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, w1, w2, order_N, count_E, hidden = ctx.saved_tensors
        experts, width, units = w2.shape
        out = [torch.empty_like(t) for t in (x, weight, w1, w2)]
        sizes = (c_int64(n) for n in (x.shape[0], experts, width, units))
        _call(
            "experts_backward", x, order_N, count_E, weight, w1, w2, hidden,
            grads[0].contiguous(), *out, *sizes, c_int(ctx.scaled),
        )  # fmt: skip
        return *out, None, None, None, None


def experts(
    x_ND: Tensor,
    weight_N: Tensor,
    w1: Tensor,
    w2: Tensor,
    order_N: Tensor,
    count_E: Tensor,
    scaled: bool,
) -> Tensor:
    """Each row through its expert's SwiGLU, w1 (E, 2F, D) and w2 (E, D, F), times `weight_N`.

    `order_N` and `count_E` are `sort_by_class`'s; rows after the last expert's are skipped: zero,
    or x * weight where `scaled`.
    """
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (x_ND, weight_N, w1, w2))
    return _Experts.apply(  # type: ignore[no-any-return]
        x_ND.contiguous(), weight_N.contiguous(), w1, w2, order_N, count_E, scaled, learns
    )


def sample(
    logits_BV: Tensor,
    temperature_B: np.ndarray,
    top_k_B: np.ndarray,
    top_p_B: np.ndarray,
    min_p_B: np.ndarray,
    uniform_B: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`engine.sampling.draw_torch` in one pass over the rows, which may be slices of wider ones."""
    rows, vocabulary = logits_BV.shape
    assert logits_BV.stride(1) == 1 and logits_BV.dtype == torch.float32
    kinds = (np.float32, np.int64, np.float32, np.float32, np.float64)
    given = (temperature_B, top_k_B, top_p_B, min_p_B, uniform_B)
    arrays = [np.ascontiguousarray(a, k) for a, k in zip(given, kinds, strict=True)]
    token_B = np.empty(rows, dtype=np.int64)
    logp_B, raw_B = np.empty(rows, dtype=np.float32), np.empty(rows, dtype=np.float32)
    library().sample_rows(  # type: ignore[union-attr]
        c_void_p(logits_BV.data_ptr()), c_int64(logits_BV.stride(0)), c_int64(vocabulary),
        *(c_void_p(a.ctypes.data) for a in (*arrays, token_B, logp_B, raw_B)),
        c_int64(rows), c_int(torch.get_num_threads()),
    )  # fmt: skip
    return token_B, logp_B, raw_B
