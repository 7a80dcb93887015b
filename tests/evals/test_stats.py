"""Estimators against enumeration, closed forms and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.evals.stats import (
    avg_at_k,
    cluster_bootstrap,
    even_interval,
    maj_at_k,
    majority_within,
    paired_difference,
    pass_at_k,
    sign_flip_test,
)


def test_avg_at_k_by_hand() -> None:
    estimate = avg_at_k([[1, 0], [1, 1], [0, 0], [0, 0]])
    assert estimate.mean == 3 / 8
    # Problem means 0.5, 1, 0, 0: squared deviations sum to 11/16, over 3, over 4.
    assert estimate.standard_error == pytest.approx(math.sqrt(11 / 16 / 3 / 4))
    assert estimate.n_problems == 4
    assert math.isnan(avg_at_k([[1, 0]]).standard_error)


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(st.integers(0, 1), min_size=n, max_size=n), min_size=1, max_size=4),
            st.integers(1, n),
        )
    )
)
def test_pass_at_k_is_the_share_of_subsets_with_a_hit(case: tuple[list[list[int]], int]) -> None:
    correct, k = case
    shares = [np.mean([any(s) for s in itertools.combinations(row, k)]) for row in correct]
    assert pass_at_k(correct, k).mean == pytest.approx(float(np.mean(shares)))


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not() -> None:
    n, k, p = 8, 4, 0.2
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    rows = [[1] * c + [0] * (n - c) for c in range(n + 1)]
    truth = 1 - (1 - p) ** k
    ours = sum(w * pass_at_k([row], k).mean for w, row in zip(weights, rows, strict=True))
    assert ours == pytest.approx(truth)
    plug_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(weights))
    assert abs(plug_in - truth) > 0.01


def test_pass_at_1_is_avg_and_large_n_is_exact() -> None:
    correct = np.random.default_rng(0).integers(0, 2, (20, 9))
    assert pass_at_k(correct, 1).mean == pytest.approx(avg_at_k(correct).mean)
    assert pass_at_k([[1] + [0] * 1999], 1000).mean == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("answers", "correct", "expected"),
    [
        (["a", "b", "b"], [1, 0, 0], 0),
        (["a", "b", "b"], [0, 1, 1], 1),
        (["a", "b"], [1, 0], 1),  # a tie goes to the earliest
        (["b", "a"], [0, 1], 0),
        (["c", "a", "b", "b", "a"], [0, 1, 0, 0, 1], 1),  # tied, and not the first seen
        ([None, None, "a"], [0, 0, 1], 1),  # no answer, no vote
        ([None, None], [0, 0], 0),
    ],
)
def test_maj_at_k(answers: list[str | None], correct: list[int], expected: int) -> None:
    assert maj_at_k([answers], [correct]).mean == expected


def test_majority_is_averaged_over_problems() -> None:
    estimate = maj_at_k([["a", "a"], ["b", None]], [[1, 1], [0, 0]])
    assert (estimate.mean, estimate.n_problems) == (0.5, 2)


def test_paired_difference_by_hand() -> None:
    gap = paired_difference([[1, 1], [1, 0], [0, 0]], [[1], [0], [0]])
    # Differences 0, 0.5, 0: mean 1/6, variance (1/36 + 4/36 + 1/36) / 2 = 1/12, over 3.
    assert gap.mean == pytest.approx(1 / 6)
    assert gap.standard_error == pytest.approx(1 / 6)
    assert gap.z == pytest.approx(1.0)
    assert paired_difference([[1], [0]], [[1], [0]]).z == 0
    assert paired_difference([[0], [0]], [[1], [1]]).z == -math.inf


def test_pairing_sees_what_separate_errors_hide() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.uniform(0.1, 0.8, (200, 1))
    first = rng.random((200, 16)) < difficulty + 0.05
    second = rng.random((200, 16)) < difficulty
    unpaired = math.hypot(avg_at_k(first).standard_error, avg_at_k(second).standard_error)
    assert paired_difference(first, second).standard_error < 0.8 * unpaired


def _clustered(seed: int, n: int = 40, k: int = 16) -> np.ndarray:
    """Problems of very different difficulty: true mean 0.5, samples alike within a problem."""
    rng = np.random.default_rng(seed)
    return (rng.random((n, k)) < rng.beta(0.5, 0.5, (n, 1))).astype(float)


def test_the_cluster_error_is_the_real_spread_and_the_naive_one_is_not() -> None:
    runs = [_clustered(seed) for seed in range(600)]
    spread = float(np.std([run.mean() for run in runs]))
    ours = float(np.mean([avg_at_k(run).standard_error for run in runs]))
    assert ours == pytest.approx(spread, rel=0.1)
    # Negative control: samples as if independent.
    naive = float(np.mean([run.std() / math.sqrt(run.size) for run in runs]))
    assert naive < 0.5 * spread


def test_bootstrap_covers_a_binomial_mean() -> None:
    p, hits, trials = 0.3, 0, 400
    rng = np.random.default_rng(0)  # one stream: data drawn from the bootstrap's own seed covary
    for seed in range(trials):
        sample = rng.random(100) < p
        low, high = cluster_bootstrap(sample, resamples=1000, seed=seed)
        hits += low <= p <= high
    # 95% nominal; the binomial error of the coverage itself is about 1.1%.
    assert 0.91 < hits / trials < 0.98


def test_bootstrap_covers_clustered_samples_only_by_problem() -> None:
    covered = {"by problem": 0, "by sample": 0}
    for seed in range(200):
        run = _clustered(seed + 1000)  # not the bootstrap's seed
        for name, values in (("by problem", run), ("by sample", run.ravel())):
            low, high = cluster_bootstrap(values, resamples=500, seed=seed)
            covered[name] += low <= 0.5 <= high
    assert covered["by problem"] / 200 > 0.88
    assert covered["by sample"] / 200 < 0.7  # negative control


def test_bootstrap_is_seeded_nested_and_centred() -> None:
    values = np.random.default_rng(1).random((30, 4))
    wide, narrow = cluster_bootstrap(values, 0.95), cluster_bootstrap(values, 0.5)
    assert wide == cluster_bootstrap(values, 0.95) != cluster_bootstrap(values, 0.95, seed=1)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    half_width = 1.96 * avg_at_k(values).standard_error
    assert (wide[1] - wide[0]) / 2 == pytest.approx(half_width, rel=0.1)
    assert cluster_bootstrap([1.0, 1.0, 1.0]) == (1.0, 1.0)


def test_sign_flips_against_brute_force_and_scipy() -> None:
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    for n in (4, 7, 10):
        first, second = rng.integers(0, 2, (n, 3)), rng.integers(0, 2, (n, 3))
        gaps = first.mean(1) - second.mean(1)
        brute = [
            abs(np.dot(signs, gaps)) >= abs(gaps.sum()) - 1e-12
            for signs in itertools.product((1, -1), repeat=n)
        ]
        assert sign_flip_test(first, second) == pytest.approx(np.mean(brute))
        theirs = scipy.permutation_test(
            (first.mean(1), second.mean(1)), lambda x, y: np.mean(x - y),
            permutation_type="samples", n_resamples=np.inf,
        )  # fmt: skip
        assert sign_flip_test(first, second) == pytest.approx(theirs.pvalue)


def test_sampled_sign_flips_come_near_the_normal_test() -> None:
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    second = rng.random((60, 1))
    first = second + rng.normal(0.05, 0.2, (60, 1))
    theirs = scipy.ttest_rel(first[:, 0], second[:, 0])
    assert sign_flip_test(first, second) == pytest.approx(theirs.pvalue, abs=0.03)
    assert paired_difference(first, second).z == pytest.approx(theirs.statistic)


def test_sign_flips_hold_their_level() -> None:
    """Without any difference, few p-values are small; with one, they are."""
    rng = np.random.default_rng(1)
    none = [sign_flip_test(*rng.integers(0, 2, (2, 12, 4))) for _ in range(300)]
    assert np.mean(np.array(none) < 0.05) < 0.09
    assert sign_flip_test(np.ones((12, 1)), np.zeros((12, 1))) == pytest.approx(2 / 2**12)
    assert sign_flip_test(np.ones((3, 1)), np.ones((3, 1))) == 1.0


def test_a_majority_that_costs_no_more() -> None:
    made = majority_within(
        [["a", "b", "b"], ["a", "b", "b"], ["c"], [None, "d"]],
        [[1, 0, 0], [1, 0, 0], [1], [0, 1]],
        [[5, 5, 5], [5, 5, 5], [9], [1, 1]],
        [9, 15, 8, 2],
    )
    assert made.values == [1.0, 0.0, 0.0, 1.0]
    assert made.tokens == [5, 15, 0, 2] and made.samples == [1, 3, 0, 2]


def test_no_spread_is_no_certainty() -> None:
    scipy = pytest.importorskip("scipy.stats")
    for n in (1, 3, 30):
        low, high = scipy.binomtest(0, n).proportion_ci(method="exact")
        assert even_interval(0.0, n) == pytest.approx((low, high))
        low, high = scipy.binomtest(n, n).proportion_ci(method="exact")
        assert even_interval(1.0, n) == pytest.approx((low, high))
    assert even_interval(0.5, 3) is None
