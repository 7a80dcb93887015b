"""Muon: each weight matrix moves by its orthogonalised gradient (Jordan 2024).

Expert stacks (E, d_out, d_in) count as E matrices. Equal shapes share batched Newton-Schulz calls:
small matrices cost more in calls than in products. Iterations run in fp32 by default: bf16 results
depend on how the products were split, and on CPUs without bf16 units it is slower too.

Parameters may be spread over ranks (`optim.sharded`); the update is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from openzaya.optim.sharded import orthogonalise_rows, own, own_rows

Coefficients = tuple[float, float, float]
JORDAN: Coefficients = (3.4445, -4.7750, 2.0315)
"""Steepest at zero; singular values end in about 0.68-1.13 rather than at 1."""
_TINY = 1e-7
_BATCH_ELEMENTS = 2**18
"""Matrix elements per batched call: enough to hide its overhead, few enough to stay in cache."""


def newton_schulz(
    g: Tensor,
    steps: int = 5,
    coefficients: Coefficients = JORDAN,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """U S' V^T for g = U S V^T with S' near 1: (..., d_out, d_in) -> same shape, in `dtype`.

    X <- aX + b(XX^T)X + c(XX^T)^2 X, from X = g / |g|_F (Jordan 2024). Zero stays zero.
    """
    a, b, c = coefficients
    tall = g.shape[-2] > g.shape[-1]
    x = (g.mT if tall else g).to(dtype)  # the Gram matrix of the short side is the cheap one
    x = x.reshape(-1, *x.shape[-2:])
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=_TINY)
    for _ in range(steps):
        gram = x @ x.mT
        # Fused, so that low precision rounds each line once.
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).reshape(g.shape)


def update_scale(kind: Literal["match_rms", "original"], d_out: int, d_in: int) -> float:
    """Factor on the orthogonal update.

    match_rms gives entries an RMS near 0.2, AdamW's usual one, so that both share a learning
    rate (Moonlight, arXiv 2502.16982); original is Jordan's.
    """
    if kind == "match_rms":
        return 0.2 * math.sqrt(max(d_out, d_in))
    return math.sqrt(max(1.0, d_out / d_in))


class Muon(Optimizer):
    """W <- (1 - lr*wd) W - lr * scale * NS(momentum(g)), for 2-D weights and 3-D expert stacks.

    momentum is an exponential mean, as in torch.optim.Muon; at 0 no state is ever allocated
    (the report's RL optimizer).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        ns_dtype: torch.dtype = torch.float32,
        scale: Literal["match_rms", "original"] = "match_rms",
        min_expert_tokens: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "ns_steps": ns_steps,
            "ns_dtype": ns_dtype,
            "scale": scale,
            "min_expert_tokens": min_expert_tokens,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                assert p.dim() in (2, 3), f"Muon moves matrices and stacks, not {tuple(p.shape)}"

    @torch.no_grad()
    def step(  # type: ignore[override]  # no closures: nothing here evaluates the loss again
        self,
        closure: Callable[[], float] | None = None,
        *,
        expert_tokens: Mapping[Tensor, Tensor] | None = None,
    ) -> None:
        """Move every parameter that has a gradient.

        `expert_tokens` maps an expert stack to its tokens per expert (E,) in this batch. Experts
        below `min_expert_tokens` keep weight and momentum bit for bit: the update's size does not
        depend on the gradient's, so a handful of tokens would move them at full speed, and decay
        without gradient would shrink them. Stacks that are not listed move whole.
        """
        assert closure is None, "Muon does not evaluate closures"
        listed = expert_tokens or {}
        for group in self.param_groups:
            by_shape: dict[tuple[Any, ...], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    # Spread stacks and spread matrices travel differently.
                    spread = p.dim() if isinstance(p, DTensor) else 0
                    key = (*p.shape[-2:], p.dtype, p.device, spread)
                    by_shape.setdefault(key, []).append(p)
            for params in by_shape.values():
                self._move(group, params, [self._moving(group, p, listed) for p in params])

    def _move(
        self, group: dict[str, Any], params: list[Tensor], moving: list[Tensor | None]
    ) -> None:
        """Move `params`, whose last two dimensions agree, in batches."""
        d_out, d_in = params[0].shape[-2:]
        directions = [self._direction(group, p, m) for p, m in zip(params, moving, strict=True)]

        def orthogonalise(batch: Tensor) -> Tensor:
            parts = batch.split(max(1, _BATCH_ELEMENTS // (d_out * d_in)))
            steps, dtype = group["ns_steps"], group["ns_dtype"]
            done = torch.cat([newton_schulz(part, steps, dtype=dtype) for part in parts])
            return done.to(params[0].dtype)

        if isinstance(params[0], DTensor) and params[0].dim() == 2:
            parts = orthogonalise_rows(cast(list[DTensor], params), directions, orthogonalise)
        else:
            stacks = [d.reshape(-1, d_out, d_in) for d in directions]
            parts = orthogonalise(torch.cat(stacks)).split([len(s) for s in stacks])
        decay = group["lr"] * group["weight_decay"]
        distance = group["lr"] * update_scale(group["scale"], d_out, d_in)
        for p, m, part in zip(map(own, params), moving, parts, strict=True):
            if m is None:
                p.mul_(1 - decay).sub_(part.view_as(p), alpha=distance)
            else:
                # Selection, not multiplication by 0: an idle expert's noise may even be nan.
                moved = (p * (1 - decay)).sub_(part.view_as(p), alpha=distance)
                p.copy_(torch.where(m, moved, p))

    def _direction(self, group: dict[str, Any], p: Tensor, moving: Tensor | None) -> Tensor:
        """Gradient, or its (Nesterov) momentum: what gets orthogonalised. This rank's part."""
        assert p.grad is not None
        grad, momentum = own(p.grad), group["momentum"]
        if momentum == 0:
            return grad
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p.grad)
        buffer = own(state["momentum_buffer"])
        advanced = buffer.lerp(grad, 1 - momentum)
        buffer.copy_(advanced if moving is None else torch.where(moving, advanced, buffer))
        return grad.lerp(advanced, momentum) if group["nesterov"] else advanced

    @staticmethod
    def _moving(
        group: dict[str, Any], p: Tensor, expert_tokens: Mapping[Tensor, Tensor]
    ) -> Tensor | None:
        """(E, 1, 1) bool: this rank's experts with enough tokens; None means the whole of `p`."""
        if p not in expert_tokens:
            return None
        tokens_E = expert_tokens[p]
        assert p.dim() == 3 and tokens_E.shape == p.shape[:1], "one count per expert of a stack"
        tokens_E = tokens_E[own_rows(p).to(tokens_E.device)].to(p.device)
        return (tokens_E >= group["min_expert_tokens"])[:, None, None]
