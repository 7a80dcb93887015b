"""How sure a score is. The problem is the unit: its samples are alike, so they come together.

Arrays are (N, K): N problems, K samples of each. A standard error over all N * K samples as if
independent would be too small by up to sqrt(K). pass@k is the unbiased estimator of Chen et al.
2021 (arXiv 2107.03374); cluster errors and pairing follow Miller 2024 (arXiv 2411.00640).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_EXACT_FLIPS = 14
_RESAMPLES_AT_ONCE = 1000
"""Bounds the bootstrap's memory to this many times N counts."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems. `standard_error` is nan for a single problem: nothing is known."""

    mean: float
    standard_error: float
    n_problems: int


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, paired over problems. |z| > 2 is the usual sign of a real one."""

    mean: float
    standard_error: float
    z: float
    n_problems: int


def avg_at_k(correct: ArrayLike) -> Estimate:
    """Mean correctness of all samples, with its cluster standard error by problem.

    `correct`: (N, K), 0/1 or rewards in [0, 1].
    """
    return _over_problems(_samples(correct).mean(axis=1))


def pass_at_k(correct: ArrayLike, k: int) -> Estimate:
    """Chance that one of k samples is correct: 1 - C(n-c, k) / C(n, k), averaged over problems.

    `correct`: (N, n) of 0/1 with n >= k samples per problem.
    """
    samples = _samples(correct)
    n = samples.shape[1]
    assert 1 <= k <= n, f"pass@{k} needs at least {k} samples, got {n}"
    assert np.isin(samples, (0, 1)).all(), "pass@k is defined for right or wrong only"
    all_ways = math.comb(n, k)
    wrong = n - samples.sum(axis=1).astype(int)
    # Python integers are exact, so large n and k need no care.
    return _over_problems(np.array([1 - math.comb(int(w), k) / all_ways for w in wrong]))


def maj_at_k(answers: Sequence[Sequence[Hashable | None]], correct: ArrayLike) -> Estimate:
    """Correctness of the most frequent answer among a problem's samples.

    `answers`: N lists of K normalised answers, None where none was found. None has no vote, and
    a problem without any answer counts as wrong. Ties go to the answer that came first.
    `correct`: (N, K), the verdict on each sample.
    """
    samples = _samples(correct)
    assert len(answers) == len(samples), f"{len(answers)} answer lists, {len(samples)} problems"
    values = []
    for row, verdicts in zip(answers, samples, strict=True):
        votes = Counter(answer for answer in row if answer is not None)
        # A Counter lists equal counts in the order of first appearance.
        winner = votes.most_common(1)[0][0] if votes else None
        values.append(0.0 if winner is None else float(verdicts[list(row).index(winner)]))
    return _over_problems(np.array(values))


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """How much better `first` does than `second` on the same N problems, in the same order.

    (N, K1) and (N, K2). Pairing removes what makes some problems hard for both. z is the mean
    over its standard error: 0 when both agree everywhere, infinite when they differ by a constant.
    """
    a, b = _samples(first), _samples(second)
    assert len(a) == len(b), f"not paired: {len(a)} problems and {len(b)}"
    gap = _over_problems(a.mean(axis=1) - b.mean(axis=1))
    if gap.mean == 0:
        z = 0.0
    elif gap.standard_error == 0:
        z = math.copysign(math.inf, gap.mean)
    else:
        z = gap.mean / gap.standard_error
    return Difference(gap.mean, gap.standard_error, z, gap.n_problems)


def sign_flip_test(
    first: ArrayLike, second: ArrayLike, flips: int = 20_000, seed: int = 0
) -> float:
    """Two-sided p-value of a paired difference: how often random signs of the problems' gaps give
    one as large. Exact up to 2^14 patterns of signs, sampled above; no normal distribution is
    assumed, which matters with 30 problems."""
    a, b = _samples(first), _samples(second)
    assert len(a) == len(b), f"not paired: {len(a)} problems and {len(b)}"
    gaps = a.mean(axis=1) - b.mean(axis=1)
    gaps = gaps[gaps != 0]  # a tie has no sign to flip
    n = len(gaps)
    seen = abs(gaps.sum()) - 1e-12
    if n <= _EXACT_FLIPS:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float((abs((1 - 2 * bits) @ gaps) >= seen).mean())
    rng = np.random.default_rng(seed)
    signs = rng.choice(np.array([-1.0, 1.0]), size=(flips, n))
    return float(((abs(signs @ gaps) >= seen).sum() + 1) / (flips + 1))


@dataclass(frozen=True, slots=True)
class Matched:
    """A majority that costs no more than another method: per problem, whether it is right, and
    what it took."""

    values: list[float]
    tokens: list[int]
    samples: list[int]


def majority_within(
    answers: Sequence[Sequence[Hashable | None]],
    correct: Sequence[Sequence[float]],
    costs: Sequence[Sequence[int]],
    budgets: Sequence[int],
) -> Matched:
    """The majority of as many of a problem's samples, in order, as its budget pays for.

    N lists each of K answers, verdicts and tokens, and N budgets. Where not even the first sample
    fits, there is no answer.
    """
    values, tokens, samples = [], [], []
    for row, verdicts, cost, budget in zip(answers, correct, costs, budgets, strict=True):
        spent = np.cumsum(cost)
        n = int((spent <= budget).sum())
        fits = list(row[:n])
        made = maj_at_k([fits], [list(verdicts[:n])]).mean if n else 0.0
        values.append(made)
        tokens.append(int(spent[n - 1]) if n else 0)
        samples.append(n)
    return Matched(values, tokens, samples)


def cluster_bootstrap(
    values: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean, resampling problems with all their samples together.

    `values`: (N, K) samples, or (N,) one value per problem (a difference, a pass@k).
    Equal seeds give equal intervals.
    """
    array = np.asarray(values, dtype=np.float64)
    per_problem = array if array.ndim == 1 else _samples(array).mean(axis=1)
    n = len(per_problem)
    assert n > 0, "no problems"
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, resamples - start)
        means.append(per_problem[rng.integers(n, size=(size, n))].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def even_interval(value: float, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Clopper-Pearson interval where all of n problems have one value, 0 or 1: resampling them
    would call 3 wrong answers of 3 a certainty. None for another value: nothing follows of it."""
    reach = ((1 - level) / 2) ** (1 / n)
    return {0.0: (0.0, 1 - reach), 1.0: (reach, 1.0)}.get(value)


def _samples(correct: ArrayLike) -> np.ndarray:
    array = np.asarray(correct, dtype=np.float64)
    assert array.ndim == 2 and array.size > 0, f"expected (problems, samples), got {array.shape}"
    return array


def _over_problems(per_problem: np.ndarray) -> Estimate:
    """Mean of N independent values and its standard error."""
    n = len(per_problem)
    error = float(per_problem.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(per_problem.mean()), error, n)
