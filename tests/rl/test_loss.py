"""The token loss against a slow reference; what the mask lets through; micro-batches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from openzaya.rl.loss import binary_tv_mask, policy_loss, sum_per_rollout_mean

N, R, HORIZON = 60, 6, 16


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """logp, behaviour logp, advantage, rollout of N tokens: some gaps large, both signs of A."""
    g = torch.Generator().manual_seed(0)
    logp = (-3 * torch.rand(N, generator=g, dtype=torch.float64)).requires_grad_()
    behaviour = -3 * torch.rand(N, generator=g, dtype=torch.float64)
    behaviour[:3] = -20.0  # ratios far beyond the cap
    rollout = torch.randint(0, R, (N,), generator=g).sort().values
    advantage = torch.randn(R, generator=g, dtype=torch.float64)[rollout]
    return logp, behaviour, advantage, rollout


def gradient(loss: Tensor, logp: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logp, retain_graph=True)[0]


def slow_token(logp: float, behaviour: float, a: float, weighted: bool) -> tuple[float, float]:
    """(loss, gradient with respect to logp) of one token, from the definition."""
    pi, mu = math.exp(logp), math.exp(behaviour)
    if (a > 0 and pi - mu > 0.1) or (a <= 0 and pi - mu < -0.1):
        return 0.0, 0.0
    weight = min(pi / mu, 10.0) if weighted else 1.0
    return -a * weight * logp, -a * weight


@pytest.mark.parametrize("weighted", [True, False])
def test_policy_loss_is_its_definition(weighted: bool) -> None:
    logp, behaviour, advantage, _ = batch()
    loss = policy_loss(logp, behaviour, advantage, ratio_cap=10.0 if weighted else None)
    rows = zip(logp.tolist(), behaviour.tolist(), advantage.tolist(), strict=True)
    slow = torch.tensor([slow_token(*row, weighted) for row in rows], dtype=torch.float64)
    assert 0 < (slow[:, 1] == 0).sum() < N  # the batch exercises both sides of the mask
    torch.testing.assert_close(loss.detach(), slow[:, 0])
    torch.testing.assert_close(gradient(loss.sum(), logp), slow[:, 1])


def test_masks_only_tokens_that_move_further_away() -> None:
    probability = torch.tensor([0.8, 0.8, 0.2, 0.2, 0.55, 0.45])
    behaviour = torch.full((6,), 0.5)
    advantage = torch.tensor([1.0, -1, 1, -1, 1, -1])
    # up and to be pushed up: masked; up and to be pushed down: free; and mirrored; small gaps free
    kept = binary_tv_mask(probability.log(), behaviour.log(), advantage)
    assert kept.tolist() == [False, True, True, False, True, True]
    wide = binary_tv_mask(probability.log(), behaviour.log(), advantage, delta=0.4)
    assert wide.all()


def test_zero_advantage_counts_as_negative() -> None:
    logp, behaviour = torch.tensor([0.2, 0.8]).log(), torch.tensor([0.5, 0.5]).log()
    assert binary_tv_mask(logp, behaviour, torch.zeros(2)).tolist() == [False, True]


def test_nothing_is_masked_on_policy() -> None:
    logp, _, advantage, _ = batch()
    assert binary_tv_mask(logp, logp.detach(), advantage, delta=0.0).all()
    loss = policy_loss(logp, logp.detach(), advantage)
    torch.testing.assert_close(gradient(loss.sum(), logp), -advantage)  # REINFORCE


def test_masked_token_passes_no_gradient_even_if_its_weight_is_infinite() -> None:
    logp = torch.tensor([-0.1], requires_grad=True)
    loss = policy_loss(logp, torch.tensor([-1e4]), torch.tensor([1.0]))
    loss.sum().backward()
    assert logp.grad is not None and logp.grad.item() == 0 and loss.item() == 0


def test_micro_batches_add_up_to_the_whole() -> None:
    logp, behaviour, advantage, rollout = batch()

    def share(keep: Tensor, rollouts: int) -> Tensor:
        loss = policy_loss(logp[keep], behaviour[keep], advantage[keep])
        return sum_per_rollout_mean(loss, rollouts, HORIZON)

    whole = share(torch.ones(N, dtype=torch.bool), R)
    parts = [rollout == 0, (rollout > 0) & (rollout < 3), rollout >= 3]
    summed = sum((share(keep, R) for keep in parts), torch.zeros(()))
    torch.testing.assert_close(summed, whole)
    torch.testing.assert_close(gradient(summed, logp), gradient(whole, logp))
    # negative control: averaging each micro-batch over its own rollouts depends on the cut
    local = [share(keep, len(rollout[keep].unique())) for keep in parts]
    assert (torch.stack(local).mean() - whole).abs() > 0.01


def test_aggregation_is_sum_per_rollout_then_mean() -> None:
    loss, rollout = torch.tensor([1.0, 2, 3, 10]), torch.tensor([0, 0, 0, 1])
    per_rollout = torch.zeros(2).index_add(0, rollout, loss)
    torch.testing.assert_close(sum_per_rollout_mean(loss, 2, 4), per_rollout.mean() / 4)
