"""Top-1 SwiGLU experts on tokens sorted by expert: no work for experts that got no token."""

# pyright: reportIncompatibleMethodOverride=false
# once_differentiable, as PyTorch types it, hides the name of `backward`'s first parameter.
from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor

from openzaya import kernels
from openzaya.config.model import ModelConfig
from openzaya.model.router import Router, Routing
from openzaya.model.shuffle import permute


class _PerExpert(torch.autograd.Function):
    """Rows of x (N, I), sorted by expert, times each expert's own matrix of w (E, O, I).

    One product per expert that has tokens, written in place: unbinding the stack would make
    backward allocate and add a full stack per expert.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, counts: list[int]) -> Tensor:
        out = x.new_empty(x.shape[0], w.shape[1])
        for e, low, high in _spans(counts):
            torch.mm(x[low:high], w[e].t(), out=out[low:high])
        ctx.save_for_backward(x, w)
        ctx.counts = counts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (x, w), dy = ctx.saved_tensors, grads[0].contiguous()
        dx, dw = torch.empty_like(x), torch.empty_like(w)
        for e in [e for e, count in enumerate(ctx.counts) if not count]:
            dw[e].zero_()
        for e, low, high in _spans(ctx.counts):
            torch.mm(dy[low:high], w[e], out=dx[low:high])
            torch.mm(dy[low:high].t(), x[low:high], out=dw[e])
        return dx, dw, None


def _spans(counts: list[int]) -> list[tuple[int, int, int]]:
    """(expert, first row, end row) of the experts that have tokens."""
    spans, low = [], 0
    for e, count in enumerate(counts):
        if count:
            spans.append((e, low, low + count))
        low += count
    return spans


class Travel(Protocol):
    """`Experts.forward` when the stacks are spread over ranks."""

    def __call__(
        self, experts: Experts, x_ND: Tensor, choice_N: Tensor, weight_N: Tensor
    ) -> Tensor: ...


def _own(stack: Tensor) -> Tensor:
    """This rank's part of a stack that may be spread over ranks."""
    return stack.to_local() if isinstance(stack, DTensor) else stack


class Experts(nn.Module):
    """E stacked experts. Rows of `gate_up_proj` are gate then up (HF layout)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        e, d, f = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(e, 2 * f, d))
        self.down_proj = nn.Parameter(torch.empty(e, d, f))
        self.skip = config.skip_expert
        self.travel: Travel | None = None
        """Expert parallelism (`openzaya.parallel.expert`): how rows reach other ranks' experts."""
        self.hf = config.numerics == "hf"

    def forward(self, x_ND: Tensor, choice_N: Tensor, weight_N: Tensor) -> Tensor:
        """Each row through the expert it chose, times its gate probability.

        A choice beyond the stack is the skip class: no work, and zero or the scaled row.
        """
        if self.travel is not None:
            return self.travel(self, x_ND, choice_N, weight_N)
        return self.run(x_ND, choice_N, weight_N)

    def run(self, x_ND: Tensor, choice_N: Tensor, weight_N: Tensor) -> Tensor:
        """The same with the stacks of this rank."""
        stacks = (_own(self.gate_up_proj), _own(self.down_proj))
        experts, width, units = stacks[1].shape
        order, inverse, count_E = _sort(choice_N.contiguous(), experts + (self.skip != "none"))
        count_E = count_E[:experts]
        if kernels.usable(x_ND, weight_N, *stacks, lanes=(width, units)):
            scaled = self.skip == "scaled"
            return kernels.experts(x_ND, weight_N, *stacks, order, count_E, scaled)
        sorted_ND = permute(x_ND, order, inverse)
        weight_N = permute(weight_N, order, inverse)
        if self.skip == "none":
            out = self._gated(sorted_ND, weight_N, count_E)
        else:
            out = self._with_skip(sorted_ND, weight_N, count_E)
        return permute(out, inverse, order)

    def _gated(self, x_ND: Tensor, weight_N: Tensor, count_E: Tensor) -> Tensor:
        """Rows sorted by expert. The gate multiplies the F-wide activation, not the D-wide output:
        the same product, less memory traffic. With `hf` numerics it multiplies, and rounds, after
        the product. Rows beyond the last expert's come back undefined on CUDA."""
        if self.hf:
            return self._run(x_ND, torch.ones_like(weight_N), count_E) * weight_N[:, None]
        return self._run(x_ND, weight_N, count_E)

    def _with_skip(self, sorted_ND: Tensor, weight_N: Tensor, count_E: Tensor) -> Tensor:
        """The skip class sorts last: its tokens never reach an expert."""
        if _fixed_size(sorted_ND):
            row = torch.arange(sorted_ND.shape[0], device=sorted_ND.device)
            kept = (row < count_E.sum())[:, None]
            skipped = sorted_ND * weight_N[:, None] if self.skip == "scaled" else 0.0
            return torch.where(kept, self._gated(sorted_ND, weight_N, count_E), skipped)
        kept = int(count_E.sum())
        out = self._gated(sorted_ND[:kept], weight_N[:kept], count_E)
        if kept == sorted_ND.shape[0]:
            return out
        rest = sorted_ND[kept:] * weight_N[kept:, None]
        return torch.cat([out, rest if self.skip == "scaled" else torch.zeros_like(rest)])

    def _run(self, x_ND: Tensor, weight_N: Tensor, count_E: Tensor) -> Tensor:
        if _fixed_size(x_ND):
            ends = count_E.cumsum(0).to(torch.int32)
            hidden = F.grouped_mm(x_ND, _own(self.gate_up_proj).transpose(1, 2), offs=ends)
            act = _swiglu(hidden, weight_N)
            return F.grouped_mm(act, _own(self.down_proj).transpose(1, 2), offs=ends)
        return self._one_by_one(x_ND, weight_N, count_E.tolist())

    @torch.compiler.disable()
    def _one_by_one(self, x_ND: Tensor, weight_N: Tensor, counts: list[int]) -> Tensor:
        hidden = _PerExpert.apply(x_ND, _own(self.gate_up_proj), counts)
        assert isinstance(hidden, Tensor)
        return _PerExpert.apply(_swiglu(hidden, weight_N), _own(self.down_proj), counts)  # type: ignore[no-any-return]


def _fixed_size(x_ND: Tensor) -> bool:
    """Whether grouped_mm serves: it takes bf16 only, and needs no size that depends on the data,
    which would stop a GPU's queue and break a compiled graph. On a CPU it is the slower way."""
    return x_ND.dtype == torch.bfloat16 and (x_ND.is_cuda or torch.compiler.is_compiling())


def _swiglu(hidden_N2F: Tensor, weight_N: Tensor) -> Tensor:
    gate, up = hidden_N2F.chunk(2, dim=-1)
    return F.silu(gate) * up * weight_N[:, None]


def _sort(choice_N: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens in the order of their class, the way back, and tokens per class."""
    if kernels.serves_indices(choice_N):
        return kernels.sort_by_class(choice_N, classes)
    order = torch.argsort(choice_N, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel(), device=order.device)
    return order, inverse, torch.bincount(choice_N, minlength=classes)


class MoE(nn.Module):
    """Router, then the chosen expert of each token."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.gate = Router(config, layer)
        self.experts = Experts(config)

    def forward(
        self, x_ND: Tensor, previous_NR: Tensor | None, replay_N: Tensor | None
    ) -> tuple[Tensor, Routing]:
        routing = self.gate(x_ND, previous_NR, replay_N)
        return self.experts(x_ND, routing.choice_N, routing.weight_N), routing
