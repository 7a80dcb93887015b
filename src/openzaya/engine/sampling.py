"""Drawing one token per row, reproducibly whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniforms(seed_B: np.ndarray, step: np.ndarray) -> np.ndarray:
    """One number in [0, 1) per row: a counter-based hash (splitmix64) of (seed, token index).

    A request's stream depends on its own seed alone, never on its neighbours in the batch.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        z = seed_B.astype(np.uint64) + (step.astype(np.uint64) + np.uint64(1)) * golden
        for _ in range(2):  # twice: neighbouring seeds must not give neighbouring streams
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def draw(
    logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, uniform_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Token ids and their log-probabilities under the distribution they were drawn from.

    Inverse CDF: one uniform number per row. Temperature 0 takes the argmax with probability 1.
    """
    greedy_B = temperature_B == 0
    scaled = logits_BV / torch.where(greedy_B, 1.0, temperature_B)[:, None]
    logp_BV = scaled.log_softmax(-1)
    if bool((top_p_B < 1).any()):
        logp_BV = _truncate(logp_BV, top_p_B)
    cdf_BV = logp_BV.double().exp().cumsum(-1)
    # Scaling by the total keeps rounding from ever pointing past the last possible token.
    target_B1 = (uniform_B * cdf_BV[:, -1])[:, None]
    token_B = torch.searchsorted(cdf_BV, target_B1, right=True)[:, 0]
    token_B = torch.where(greedy_B, logits_BV.argmax(-1), token_B)
    chosen_B = logp_BV.gather(1, token_B[:, None])[:, 0]
    return token_B, torch.where(greedy_B, 0.0, chosen_B)


def _truncate(logp_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Nucleus: the smallest set of likeliest tokens whose mass reaches top_p, renormalised."""
    sorted_BV, order = logp_BV.sort(-1, descending=True)
    before_BV = sorted_BV.exp().cumsum(-1) - sorted_BV.exp()
    dropped = torch.zeros_like(logp_BV, dtype=torch.bool)
    dropped.scatter_(1, order, before_BV >= top_p_B[:, None])
    return logp_BV.masked_fill(dropped, float("-inf")).log_softmax(-1)
