"""A policy whose log-probabilities are exactly known: one table of logits per version.

The simulator's samplers draw from their own copy of a table, so that a stored log-probability that
is not its version's, or weights that arrived torn, can be told from right ones.
"""

from __future__ import annotations

import hashlib

import numpy as np


def table(version: int, vocabulary: int) -> np.ndarray:
    """Logits (V,) of a version, float64: a walk, so that near versions are alike."""
    rng = np.random.default_rng(7)
    return rng.normal(size=vocabulary) + 0.1 * rng.normal(size=(version + 1, vocabulary)).sum(0)


def log_probabilities(logits_V: np.ndarray) -> np.ndarray:
    """(V,) float64."""
    shifted = logits_V - logits_V.max()
    return shifted - np.log(np.exp(shifted).sum())


def draw(logits_V: np.ndarray, seed: int, position: int) -> int:
    """The token that `seed` draws at `position` from this table."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    uniform = int.from_bytes(digest, "little") / 2**64
    cumulative = np.cumsum(np.exp(log_probabilities(logits_V)))
    return int(min(np.searchsorted(cumulative, uniform * cumulative[-1]), len(logits_V) - 1))
