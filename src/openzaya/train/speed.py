"""How fast this machine could train: the rate of one large matrix product, measured.

A vendor's peak is reached by nothing, and no table knows every machine. The share of the measured
rate that a step reaches is logged as `mfu`: FLOPs of the model (three times the forward, no
recomputation counted) over what the product would have done in the same time.
"""

from __future__ import annotations

import time

import torch

SIZE = {"cpu": 2048, "other": 8192}
REPEATS = 3


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square product, best of a few."""
    n = SIZE.get(device.type, SIZE["other"])
    a = torch.randn(n, n, device=device).to(dtype)
    best = min(_seconds(a) for _ in range(REPEATS))
    return 2 * n**3 / best


def _seconds(a: torch.Tensor) -> float:
    started = time.perf_counter()
    product = a @ a
    if product.device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - started
