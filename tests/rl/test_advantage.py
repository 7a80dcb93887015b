"""Advantages by hand, and MaxRL's gradient by enumerating a bandit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from openzaya.rl.advantage import (
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
