"""What to watch while RL runs: degenerate text, and distance between engine and trainer.
What a whole step's groups look like: `rl.step_metrics`.

The compressibility canary also acts: `is_degenerate` rollouts lose their task reward before
advantages are formed (report arXiv 2605.05365, stability monitors). All else is only logged.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024
"""Tokens per compressibility reading (the report's value is unknown)."""
DEGENERATE_BELOW = 0.05
"""The report's threshold on any chunk's compressibility."""
_FLUSH_BYTES = 5
"""What an empty Z_SYNC_FLUSH writes."""
_WINDOW_BITS = -10
"""Raw stream, 1,024-byte window, of which zlib can look back 762: loops of up to 190 tokens
compress. Below the threshold are those of up to about 12 rare or 16 frequent tokens."""


def compressibility(token_ids: np.ndarray | Sequence[int], chunk: int = CHUNK) -> np.ndarray:
    """Compressed / raw bytes per chunk of one rollout, (chunks,) float64; small means repetitive.

    One stateful LZ77 compressor (zlib level 1) over int32 little-endian ids, flushed per chunk. A
    short last chunk joins the one before it: alone it would have too little text to judge.
    """
    ids_T = np.asarray(token_ids).astype("<i4")
    cuts = list(range(chunk, ids_T.size - chunk + 1, chunk))
    compressor = zlib.compressobj(level=1, wbits=_WINDOW_BITS)
    ratios = []
    for part in np.split(ids_T, cuts):
        if part.size == 0:  # an empty rollout
            continue
        raw = part.tobytes()
        packed = compressor.compress(raw) + compressor.flush(zlib.Z_SYNC_FLUSH)
        ratios.append((len(packed) - _FLUSH_BYTES) / len(raw))
    return np.array(ratios, dtype=np.float64)


def is_degenerate(token_ids: np.ndarray | Sequence[int]) -> bool:
    """True if any chunk of the rollout is a short loop."""
    return bool((compressibility(token_ids) < DEGENERATE_BELOW).any())


def rare_token_fraction(
    token_ids: np.ndarray | Sequence[int], vocab_size: int, top: float
) -> float:
    """Share of ids in the top fraction `top` of the id range; 0 for an empty rollout.

    BPE ids grow with rarity, so the report logs top = 10, 5, 2 and 1 %.
    """
    ids_T = np.asarray(token_ids)
    if ids_T.size == 0:
        return 0.0
    return float((ids_T >= vocab_size * (1 - top)).mean())


GIBBERISH_ABOVE = 100_000
"""prime-rl's threshold, made for vocabularies of 150,000 and more."""


def is_gibberish(
    token_ids: np.ndarray | Sequence[int],
    logprobs: np.ndarray | Sequence[float],
    vocab_size: int,
    above: int = GIBBERISH_ABOVE,
) -> bool:
    """True if any token is rare, id > `above`, and was drawn by accident: its log-probability is
    below -log(V) - 2, more than e^2 times less likely than under a uniform draw (Intellect-3's
    heuristic, in the report a monitor only)."""
    unlikely_T = np.asarray(logprobs) < -math.log(vocab_size) - 2
    return bool((unlikely_T & (np.asarray(token_ids) > above)).any())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How far trainer (pi) and engine (mu) disagree on the tokens that the engine drew."""

    kl: float
    """KL(mu || pi) in nats per token, from samples (`sampled_kl`)."""
    pearson: float
    """Correlation of the two probabilities; nan when either is constant."""
    max_logp_gap: float
    """Largest |log pi - log mu|."""


@torch.no_grad()
def sampled_kl(logp_N: Tensor, behaviour_logp_N: Tensor) -> float:
    """KL(mu || pi) in nats per token from tokens that mu drew: the mean of pi/mu - 1 - log(pi/mu),
    unbiased, and no term of it is negative (Schulman's k3)."""
    gap_N = logp_N.double() - behaviour_logp_N.double()
    return (gap_N.expm1() - gap_N).mean().item()


@torch.no_grad()
def mismatch(logp_N: Tensor, behaviour_logp_N: Tensor) -> Mismatch:
    """Engine-trainer agreement over N >= 2 tokens. The report reached KL 1.3e-4, r > 0.9996."""
    logp_N, behaviour_logp_N = logp_N.double(), behaviour_logp_N.double()
    gap_N = logp_N - behaviour_logp_N
    both_2N = torch.stack([logp_N.exp(), behaviour_logp_N.exp()])
    return Mismatch(
        kl=sampled_kl(logp_N, behaviour_logp_N),
        pearson=torch.corrcoef(both_2N)[0, 1].item(),
        max_logp_gap=gap_N.abs().max().item(),
    )


@torch.no_grad()
def effective_sample_size(logp_N: Tensor, behaviour_logp_N: Tensor) -> float:
    """(sum w)^2 / (N sum w^2) of the ratios w = pi/mu, in (0, 1]; 1 means on-policy."""
    gap_N = logp_N.double() - behaviour_logp_N.double()
    # The share does not depend on the ratios' scale; dividing by the largest avoids overflow.
    ratio_N = (gap_N - gap_N.max()).exp()
    return (ratio_N.sum().square() / (gap_N.numel() * ratio_N.square().sum())).item()
