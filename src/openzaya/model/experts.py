"""Top-1 SwiGLU experts on tokens sorted by expert: no work for experts that got no token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.layout import permute
from openzaya.model.router import Router, Routing


class Experts(nn.Module):
    """E stacked experts. Rows of `gate_up_proj` are gate then up (HF layout)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        e, d, f = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(e, 2 * f, d))
        self.down_proj = nn.Parameter(torch.empty(e, d, f))

    def forward(self, x_ND: Tensor, counts: list[int]) -> Tensor:
        """`x_ND` sorted by expert, `counts[e]` tokens each. Unbinding the stacks once keeps
        backward from allocating a full gradient per expert."""
        outputs = []
        for tokens, gate_up, down in zip(
            x_ND.split(counts), self.gate_up_proj.unbind(0), self.down_proj.unbind(0), strict=True
        ):
            if tokens.shape[0]:
                gate, up = F.linear(tokens, gate_up).chunk(2, dim=-1)
                outputs.append(F.linear(F.silu(gate) * up, down))
        return torch.cat(outputs) if outputs else x_ND


class MoE(nn.Module):
    """Router, dispatch, experts, gate; the skip class as the configuration says."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.gate = Router(config, layer)
        self.experts = Experts(config)
        self.num_experts = config.num_experts
        self.skip = config.skip_expert

    def forward(
        self, x_ND: Tensor, previous_NR: Tensor | None, replay_N: Tensor | None
    ) -> tuple[Tensor, Routing]:
        routing = self.gate(x_ND, previous_NR, replay_N)
        order = torch.argsort(routing.choice_N, stable=True)
        counts = torch.bincount(routing.choice_N, minlength=self.num_experts).tolist()
        skipped = sum(counts[self.num_experts :])
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel())
        sorted_ND = permute(x_ND, order, inverse)
        if skipped == 0:
            out = self.experts(sorted_ND, counts)
        else:  # the skip class sorts last: its tokens never reach an expert
            kept, rest = sorted_ND.split((order.numel() - skipped, skipped))
            rest = rest if self.skip == "scaled" else torch.zeros_like(rest)
            out = torch.cat([self.experts(kept, counts[: self.num_experts]), rest])
        return permute(out, inverse, order) * routing.weight_N[:, None], routing
