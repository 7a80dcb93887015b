"""The compressibility canary on streams of known character; the rest by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openzaya.rl.monitors import (
    compressibility,
    effective_sample_size,
    is_degenerate,
    is_gibberish,
    mismatch,
    rare_token_fraction,
    sampled_kl,
)

V = 262272
RNG = np.random.default_rng(0)
RANDOM = RNG.integers(0, V, 8192)
ZIPF = np.minimum(RNG.zipf(1.6, 8192), V - 1)  # frequent ids dominate, as in text


def loop(ids: np.ndarray, period: int) -> np.ndarray:
    return np.resize(ids[:period], 8192)


@pytest.mark.parametrize(
    ("ids", "ratio", "tolerance"),
    [
        pytest.param(RANDOM, 0.74, 0.02, id="random"),
        pytest.param(ZIPF, 0.27, 0.03, id="zipf"),
        pytest.param(loop(ZIPF, 250), 0.24, 0.03, id="loop of 250"),
        pytest.param(loop(ZIPF, 100), 0.10, 0.02, id="loop of 100"),
        pytest.param(loop(ZIPF, 16), 0.034, 0.006, id="loop of 16"),
        pytest.param(np.full(8192, 77), 0.009, 0.001, id="constant"),
    ],
)
def test_known_streams(ids: np.ndarray, ratio: float, tolerance: float) -> None:
    assert compressibility(ids).mean() == pytest.approx(ratio, abs=tolerance)


def test_only_short_loops_are_degenerate() -> None:
    assert is_degenerate(loop(ZIPF, 16)) and is_degenerate(loop(RANDOM, 8))
    for ids in (RANDOM, ZIPF, loop(ZIPF, 100), loop(RANDOM, 50)):
        assert not is_degenerate(ids)


def test_the_window_is_190_tokens() -> None:
    assert compressibility(loop(RANDOM, 190)).mean() < 0.3
    assert compressibility(loop(RANDOM, 191)).mean() > 0.65


def test_one_looping_chunk_is_enough() -> None:
    assert is_degenerate(np.concatenate([RANDOM[:2048], np.full(1024, 5), RANDOM[2048:4096]]))


def test_short_last_chunk_joins_its_neighbour() -> None:
    assert len(compressibility(RANDOM[:1023])) == 1
    assert len(compressibility(RANDOM[:2047])) == 1
    assert len(compressibility(RANDOM[:2048])) == 2
    # 30 equal tokens after random ones would look like a loop if they stood alone
    tail = np.concatenate([RANDOM[:1024], np.full(30, 5)])
    assert compressibility(tail).min() > 0.5
    assert compressibility(np.full(1024, 5), chunk=1024).min() < 0.05


def test_empty_rollout() -> None:
    assert compressibility([]).size == 0
    assert not is_degenerate([])
    assert rare_token_fraction([], V, 0.1) == 0.0


def test_id_width_does_not_matter() -> None:
    narrow, wide = RANDOM.astype(np.int32), RANDOM.astype(np.int64)
    assert (compressibility(narrow) == compressibility(wide)).all()
    assert (compressibility(narrow) == compressibility(wide.tolist())).all()


def test_rare_tokens_by_hand() -> None:
    ids = [0, 89, 90, 99]
    assert rare_token_fraction(ids, 100, 0.10) == 0.5
    assert rare_token_fraction(ids, 100, 0.01) == 0.25


def test_gibberish_is_rare_and_unlikely_at_once() -> None:
    unlikely, likely = -math.log(V) - 2.1, -math.log(V) - 1.9
    assert is_gibberish([5, 200_000], [-1.0, unlikely], V)
    assert not is_gibberish([5, 200_000], [-1.0, likely], V)
    assert not is_gibberish([5, 90_000], [-1.0, unlikely], V)
    assert not is_gibberish([200_000, 5], [-1.0, unlikely], V), "of one token, not of two"
    assert is_gibberish([5, 90_000], [-1.0, unlikely], V, above=80_000)
    assert not is_gibberish([], [], V)


def test_sampled_kl_is_never_negative() -> None:
    """Where the plain mean of log(mu/pi), also unbiased, is, now and then."""
    g = torch.Generator().manual_seed(0)
    mu = torch.randn(50, 5, generator=g).log_softmax(1)
    pi = (mu + 0.05 * torch.randn(50, 5, generator=g)).log_softmax(1)
    drawn = torch.multinomial(mu.exp(), 4, True, generator=g)
    ours = [sampled_kl(a[i], b[i]) for a, b, i in zip(pi, mu, drawn, strict=True)]
    plain = (mu.gather(1, drawn) - pi.gather(1, drawn)).mean(1)
    assert min(ours) >= 0 and (plain < 0).any()


def test_mismatch_by_hand() -> None:
    pi, mu = torch.tensor([0.5, 0.25, 0.4]), torch.tensor([0.25, 0.5, 0.4])
    stats = mismatch(pi.log(), mu.log())
    # pi/mu - 1 - log(pi/mu) at ratios 2, 1/2, 1
    assert stats.kl == pytest.approx((1 - math.log(2) - 0.5 + math.log(2)) / 3)
    assert stats.max_logp_gap == pytest.approx(math.log(2))
    assert stats.pearson == pytest.approx(np.corrcoef(pi, mu)[0, 1])


def test_mismatch_of_equals() -> None:
    logp = -torch.rand(50, generator=torch.Generator().manual_seed(0))
    stats = mismatch(logp, logp)
    assert stats.kl == 0 and stats.max_logp_gap == 0
    assert stats.pearson == pytest.approx(1)


def test_mismatch_kl_estimates_kl() -> None:
    g = torch.Generator().manual_seed(0)
    mu = torch.rand(5, generator=g).log_softmax(0)
    pi = (mu + 0.3 * torch.randn(5, generator=g)).log_softmax(0)
    drawn = torch.multinomial(mu.exp(), 200_000, replacement=True, generator=g)
    exact = (mu.exp() * (mu - pi)).sum().item()
    assert mismatch(pi[drawn], mu[drawn]).kl == pytest.approx(exact, rel=0.03)


def test_effective_sample_size_by_hand() -> None:
    zeros = torch.zeros(4)
    assert effective_sample_size(zeros, zeros) == 1
    # weights 3, 1, 1, 1: 36 / (4 * 12)
    assert effective_sample_size(torch.tensor([3.0, 1, 1, 1]).log(), zeros) == pytest.approx(0.75)
    huge = torch.tensor([900.0, 0, 0, 0])  # exp overflows; one token is all that counts
    assert effective_sample_size(huge, zeros) == pytest.approx(0.25)
