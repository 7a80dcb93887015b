"""Drawing one token per row, reproducibly whatever else is in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from openzaya import kernels


@dataclass(frozen=True, slots=True)
class Draws:
    """How each row's token is drawn: `SamplingParams`, by row, and a number in [0, 1)."""

    temperature_B: np.ndarray  # float32
    top_k_B: np.ndarray  # int64, 0: all
    top_p_B: np.ndarray  # float32
    min_p_B: np.ndarray  # float32
    uniform_B: np.ndarray  # float64


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


def draw(logits_BV: Tensor, how: Draws) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, their log-probabilities under the distribution they were drawn from (temperature and
    truncation applied; 0 where greedy), and those under the plain softmax.

    Inverse CDF: one uniform number per row. A row without a finite largest logit yields token -1.
    """
    if kernels.usable(logits_BV):
        parts = (how.temperature_B, how.top_k_B, how.top_p_B, how.min_p_B, how.uniform_B)
        return kernels.sample(logits_BV, *parts)
    token_B, logp_B, raw_B = draw_torch(logits_BV, how)
    return token_B.numpy(), logp_B.numpy(), raw_B.numpy()


def draw_torch(logits_BV: Tensor, how: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """The same in PyTorch: the definition."""
    temperature_B1 = torch.from_numpy(how.temperature_B)[:, None]
    greedy_B = temperature_B1[:, 0] == 0
    valid_B = logits_BV.amax(-1).isfinite()
    raw_BV = logits_BV.log_softmax(-1)
    logp_BV = (logits_BV / torch.where(greedy_B[:, None], 1.0, temperature_B1)).log_softmax(-1)
    dropped = (
        logp_BV < logp_BV.amax(-1, keepdim=True) + torch.from_numpy(how.min_p_B).log()[:, None]
    )
    top_k_B = torch.from_numpy(how.top_k_B)
    rank = logp_BV.argsort(dim=-1, descending=True, stable=True).argsort(-1)
    dropped |= (top_k_B[:, None] > 0) & (rank >= top_k_B[:, None])
    logp_BV = logp_BV.masked_fill(dropped, -torch.inf).log_softmax(-1)
    top_p_B1 = torch.from_numpy(how.top_p_B)[:, None]
    sorted_BV, order = logp_BV.sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.exp().cumsum(-1) - sorted_BV.exp()
    beyond = torch.zeros_like(dropped).scatter_(1, order, before_BV >= top_p_B1)
    logp_BV = logp_BV.masked_fill(beyond & (top_p_B1 < 1), -torch.inf).log_softmax(-1)
    cdf_BV = logp_BV.double().exp().cumsum(-1)
    # Scaling by the total keeps rounding from ever pointing past the last possible token.
    target_B1 = torch.from_numpy(how.uniform_B)[:, None] * cdf_BV[:, -1:]
    token_B = torch.searchsorted(cdf_BV, target_B1, right=True)[:, 0]
    token_B = torch.where(greedy_B, logits_BV.argmax(-1), token_B.clamp(max=logits_BV.shape[1] - 1))
    chosen_B = torch.where(greedy_B, 0.0, logp_BV.gather(1, token_B[:, None])[:, 0])
    raw_B = raw_BV.gather(1, token_B[:, None])[:, 0]
    return torch.where(valid_B, token_B, -1), chosen_B, raw_B
