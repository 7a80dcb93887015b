"""RMSNorm and the learned residual merge."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig


class RMSNorm(nn.Module):
    """Statistics in fp32; the weight multiplies after the cast back."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.rms_norm(x.float(), x.shape[-1:], None, self.eps)
        return normed.to(self.weight.dtype) * self.weight


class ResidualScale(nn.Module):
    """(branch + hb) * hs + (residual + rb) * rs, fp32 (report Eq. 6 in the code's parametrisation).

    The four stored vectors are the released checkpoints'; the constant part is multiplied out
    first so that a token costs two fused operations.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.hidden_states_scale = nn.Parameter(torch.empty(d))
        self.hidden_states_bias = nn.Parameter(torch.empty(d))
        self.residual_scale = nn.Parameter(torch.empty(d))
        self.residual_bias = nn.Parameter(torch.empty(d))

    def forward(self, branch_ND: Tensor, residual_ND: Tensor) -> Tensor:
        hs, rs = self.hidden_states_scale.float(), self.residual_scale.float()
        constant = self.hidden_states_bias.float() * hs + self.residual_bias.float() * rs
        merged = torch.addcmul(constant, branch_ND.float(), hs)
        return torch.addcmul(merged, residual_ND, rs)
