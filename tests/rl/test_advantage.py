"""Advantages by hand, and MaxRL's gradient by enumerating a bandit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from openzaya.config.base import load_recipe
from openzaya.config.rl_loss import AdvantageConfig, LengthRewardConfig
from openzaya.errors import ConfigError
from openzaya.rl.advantage import (
    advantages,
    dr_grpo,
    grpo,
    keep_group,
    length_reward,
    maxrl,
    with_length_term,
)

ONE_OF_FOUR = [1.0, 0.0, 0.0, 0.0]
LENGTH = {"weight": 1.0, "max_length": 1100, "free_length": 50, "rate_tolerance": 0.05}


def close(actual: Tensor, expected: list[float] | list[list[float]]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected))


def test_maxrl_by_hand() -> None:
    rewards = torch.tensor([ONE_OF_FOUR, [1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    third = 1 / 3
    expected = [[3.0, -1, -1, -1], [third, third, third, -1], [0.0] * 4, [0.0] * 4]
    close(maxrl(rewards), expected)


def test_grpo_and_dr_grpo_by_hand() -> None:
    rewards = torch.tensor([ONE_OF_FOUR, [0.0] * 4])
    close(dr_grpo(rewards), [[0.75, -0.25, -0.25, -0.25], [0.0] * 4])
    close(grpo(rewards), [[1.5, -0.5, -0.5, -0.5], [0.0] * 4])  # sample std 1/2


@pytest.mark.parametrize("advantage", [maxrl, grpo, dr_grpo])
def test_equal_rewards_give_exactly_zero(advantage) -> None:
    # the mean of three 0.1 is not 0.1 in fp32; a std of that rounding would give advantages near 1
    assert not advantage(torch.full((2, 3), 0.1)).any()


def test_keep_group() -> None:
    rewards = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 1, 0], [0.1, 0.1, 0.1]])
    assert keep_group(rewards).tolist() == [False, False, True, False]


def expected_gradient(theta: Tensor, correct: Tensor, group: int, advantage) -> Tensor:
    """E[mean_i A_i grad log pi(a_i)] over all groups of `group` pulls, exactly."""
    probs = theta.softmax(0)
    total = torch.zeros_like(theta)
    for pulls in itertools.product(range(len(theta)), repeat=group):
        index = torch.tensor(pulls)
        score = torch.eye(len(theta), dtype=theta.dtype)[index] - probs
        a = advantage(correct[index][None])[0]
        total += probs[index].prod() * (a[:, None] * score).mean(0)
    return total


def likelihood_gradient(theta: Tensor, correct: Tensor, order: int) -> Tensor:
    """Gradient of log p truncated to `order`: -sum of (1 - p)^k / k over k = 1 .. order."""
    theta = theta.clone().requires_grad_()
    fail = 1 - (theta.softmax(0) * correct).sum()
    objective = -sum(fail**k / k for k in range(1, order + 1))
    assert isinstance(objective, Tensor)
    return torch.autograd.grad(objective, theta)[0]


@pytest.mark.parametrize("group", [2, 3, 5])
def test_maxrl_climbs_the_truncated_log_likelihood(group: int) -> None:
    theta = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    correct = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    gradient = expected_gradient(theta, correct, group, maxrl)
    torch.testing.assert_close(gradient, likelihood_gradient(theta, correct, group - 1))
    # negative controls: the next order up, and the estimator without the division
    assert (gradient - likelihood_gradient(theta, correct, group)).abs().max() > 0.01
    plain = expected_gradient(theta, correct, group, dr_grpo)
    assert (gradient - plain).abs().max() > 0.01


def test_length_reward_by_hand() -> None:
    rewards = torch.tensor([[1.0, 1, 1, 0]])
    lengths = torch.tensor([[100, 150, 600, 10]])
    # p = 3/4; lambda: 1/2 at 100, 1/2 for free at 150, 1/2 - 500/1000 at 600
    out = length_reward(rewards, lengths, torch.tensor([0.75]), **LENGTH)
    close(out, [[0.375, 0.375, 0.0, 0.0]])
    longest = length_reward(rewards, torch.tensor([[100, 151, 1100, 10]]), torch.zeros(1), **LENGTH)
    close(longest, [[0.375, 0.75 * (0.5 - 0.051), -0.375, 0.0]])
    halved = length_reward(rewards, lengths, torch.tensor([0.75]), **{**LENGTH, "weight": 0.5})
    close(halved, [[0.1875, 0.1875, 0.0, 0.0]])


def test_length_reward_needs_a_source_near_its_best() -> None:
    rewards, lengths = torch.tensor([[1.0, 1, 0, 0]] * 2), torch.tensor([[100, 900, 5, 5]] * 2)
    out = length_reward(rewards, lengths, torch.tensor([0.54, 0.56]), **LENGTH)
    assert out[0].any() and not out[1].any()


def test_length_reward_is_for_groups_with_two_correct() -> None:
    lengths = torch.tensor([[100, 200, 300, 400]] * 2)
    rewards = torch.tensor([ONE_OF_FOUR, [0.0] * 4])
    assert not length_reward(rewards, lengths, torch.zeros(2), **LENGTH).any()


def test_length_reward_at_the_limit_does_not_divide_by_zero() -> None:
    lengths = torch.full((1, 4), 1100)
    out = length_reward(torch.tensor([[1.0, 1, 1, 0]]), lengths, torch.zeros(1), **LENGTH)
    close(out, [[0.375, 0.375, 0.375, 0.0]])


def test_length_term_by_hand() -> None:
    rewards = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    term = torch.tensor([[0.2, -0.2, 0, 0], [0, 0, 0, 0]])
    close(with_length_term(rewards, term), [[1.4, 0.6, -1, -1], [0.0] * 4])
    uneven = torch.tensor([[0.4, 0.0, 0, 0], [0, 0, 0, 0]])
    centred = with_length_term(rewards, uneven)
    close(centred, [[1.6, 0.8, -1.2, -1.2], [0.0] * 4])
    close(centred.sum(1), [0.0, 0.0])
    close(with_length_term(rewards, uneven, centre=False), [[1.8, 1, -1, -1], [0.0] * 4])


def slow_length_reward(
    rewards: list[float],
    lengths: list[int],
    best: float,
    c: float,
    l_max: int,
    t_l: int,
    t_acc: float,
) -> list[float]:
    """Eq. 8-10, rollout by rollout."""
    correct = [r == 1 for r in rewards]
    p = sum(correct) / len(rewards)
    out = []
    for ok, length in zip(correct, lengths, strict=True):
        if not ok or not p > best - t_acc or not p > 1 / len(rewards):
            out.append(0.0)
            continue
        l_min = min(n for n, right in zip(lengths, correct, strict=True) if right)
        if length <= l_min + t_l:
            share = 0.5
        else:
            share = 0.5 - min(max((length - l_min) / (l_max - l_min), 0.0), 1.0)
        out.append(c * p * share)
    return out


def test_length_reward_is_its_definition() -> None:
    g = torch.Generator().manual_seed(0)
    rewards = (torch.rand(200, 8, generator=g) < torch.rand(200, 1, generator=g)).float()
    lengths = torch.randint(1, 1101, (200, 8), generator=g)
    best = torch.rand(200, generator=g)
    fast = length_reward(rewards, lengths, best, **{**LENGTH, "weight": 0.7})
    rows = zip(rewards.tolist(), lengths.tolist(), best.tolist(), strict=True)
    slow = [slow_length_reward(r, n, b, 0.7, 1100, 50, 0.05) for r, n, b in rows]
    close(fast, slow)
    assert (fast > 0).any() and (fast < 0).any() and (fast == 0).any()
    # wrong rollouts never earn, shorter right ones never earn less
    assert not fast[rewards == 0].any()
    for row, n, r in zip(fast, lengths, rewards, strict=True):
        right = n[r == 1].argsort()
        assert (row[r == 1][right].diff() <= 1e-7).all()


def test_configured_advantages() -> None:
    rewards = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    lengths = torch.tensor([[100, 1100, 5, 5]] * 3)
    term = length_reward(rewards, lengths, torch.zeros(3), **LENGTH)
    for kind, function in (("maxrl", maxrl), ("grpo", grpo), ("dr_grpo", dr_grpo)):
        plain = advantages(AdvantageConfig(kind=kind), rewards)
        torch.testing.assert_close(plain, function(rewards))
    # dr = 1/2 * (1/2, -1/2) = (1/4, -1/4): the numerator alone moves, over the plain mean of 1/2
    got = advantages(AdvantageConfig(length_reward=LengthRewardConfig()), rewards, term)
    close(got, [[1.5, 0.5, -1.0, -1.0], [0.0] * 4, [0.0] * 4])
    assert term[1].any(), "a group solved throughout has length rewards, but is no contrast"


def test_centring_is_a_choice() -> None:
    rewards, lengths = torch.tensor([[1.0, 1, 1, 0]]), torch.tensor([[100, 120, 600, 10]])
    term = length_reward(rewards, lengths, torch.zeros(1), **LENGTH)  # mean 3/16
    centred = advantages(AdvantageConfig(), rewards, term)
    free = advantages(AdvantageConfig(centre=False), rewards, term)
    assert centred.sum().item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(free - centred, torch.full((1, 4), 3 / 16 / 0.75))


def test_length_reward_config() -> None:
    config = LengthRewardConfig()
    assert [config.weight(s, 11) for s in (0, 5, 10, 20)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert config.weight(0, 1) == 0.1
    assert config.lengths(81_920) == (81_920, 4096)
    assert LengthRewardConfig(max_length=1000).lengths(81_920) == (1000, 50)
    with pytest.raises(ConfigError, match="defined for maxrl, not for grpo"):
        load_recipe(AdvantageConfig, None, ["kind=grpo", "length_reward.start=0.1"])
