"""What the report keeps in fp32 when weights are bf16. A model in fp64, as parity checks run it,
stays in fp64."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """`x` in fp32, or as it is in fp64."""
    return x if x.dtype == torch.float64 else x.float()
