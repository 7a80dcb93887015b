"""RMSNorm and the learned residual merge."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya import kernels
from openzaya.config.model import ModelConfig
from openzaya.model.precision import wide


class RMSNorm(nn.Module):
    """Statistics in fp32; the weight multiplies after the cast back.

    With `hf` numerics the input is first rounded to the weights' type, as transformers does.
    """

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = config.rms_norm_eps
        self.hf = config.numerics == "hf"

    def forward(self, x: Tensor) -> Tensor:
        if kernels.usable(x, self.weight, lanes=(x.shape[-1],)):
            return kernels.rms_norm(x, self.weight, self.eps)
        kind = self.weight.dtype
        x = x.to(kind) if self.hf else x
        return F.rms_norm(wide(x), x.shape[-1:], None, self.eps).to(kind) * self.weight


class ResidualScale(nn.Module):
    """(branch + hb) * hs + (residual + rb) * rs, fp32 (report Eq. 6 in the code's parametrisation).

    The four stored vectors are the released checkpoints'.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.hidden_states_scale = nn.Parameter(torch.empty(d))
        self.hidden_states_bias = nn.Parameter(torch.empty(d))
        self.residual_scale = nn.Parameter(torch.empty(d))
        self.residual_bias = nn.Parameter(torch.empty(d))
        self.hf = config.numerics == "hf"

    def forward(self, branch_ND: Tensor, residual_ND: Tensor) -> Tensor:
        hs, hb = self.hidden_states_scale, self.hidden_states_bias
        rs, rb = self.residual_scale, self.residual_bias
        if kernels.usable(branch_ND, residual_ND, hs, lanes=(hs.shape[0],)):
            return kernels.residual_merge(branch_ND, residual_ND, hs, hb, rs, rb)
        if not self.hf:
            branch_ND, hs, hb = wide(branch_ND), wide(hs), wide(hb)
        return (branch_ND + hb) * hs + (residual_ND + rb) * rs


def merge_and_norm(
    scale: ResidualScale, norm: RMSNorm, branch_ND: Tensor, residual_ND: Tensor
) -> tuple[Tensor, Tensor]:
    """The merged residual stream and its norm: what follows attention, in one pass on a CPU."""
    vectors = (
        scale.hidden_states_scale, scale.hidden_states_bias, scale.residual_scale,
        scale.residual_bias, norm.weight,
    )  # fmt: skip
    if kernels.usable(branch_ND, residual_ND, *vectors, lanes=(norm.weight.shape[0],)):
        return kernels.merge_norm(branch_ND, residual_ND, norm.eps, *vectors)
    merged_ND = scale(branch_ND, residual_ND)
    return merged_ND, norm(merged_ND)
