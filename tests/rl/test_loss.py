"""The report's loss: what its mask lets through; how token losses add up to a batch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from openzaya.rl.loss import binary_tv_mask, policy_loss, token_weights

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


def test_aggregations_by_hand() -> None:
    """Rollouts of 3 and 1 tokens in a batch of 4 rollouts and 10 tokens, horizon 8."""
    loss, lengths = torch.tensor([1.0, 2, 3, 10]), [3, 1]
    totals = {"total_rollouts": 4, "total_tokens": 10, "horizon": 8}
    summed = (loss * token_weights(lengths, "rollout_sum", **totals)).sum()
    assert summed.item() == pytest.approx((6 + 10) / 4 / 8)
    over_tokens = (loss * token_weights(lengths, "token_mean", **totals)).sum()
    assert over_tokens.item() == pytest.approx(16 / 10)
    averaged = (loss * token_weights(lengths, "rollout_mean", **totals)).sum()
    assert averaged.item() == pytest.approx((2 + 10) / 4)


def test_only_rollout_sum_and_token_mean_weigh_all_tokens_alike() -> None:
    """Dr. GRPO's point: a mean over a rollout's own length punishes long wrong answers less."""
    lengths = [1, 7, 100]
    totals = {"total_rollouts": 3, "total_tokens": 108, "horizon": 128}
    for aggregation in ("rollout_sum", "token_mean"):
        assert len(token_weights(lengths, aggregation, **totals).unique()) == 1  # type: ignore[arg-type]
    assert len(token_weights(lengths, "rollout_mean", **totals).unique()) == 3


@pytest.mark.parametrize("aggregation", ["rollout_sum", "token_mean", "rollout_mean"])
def test_micro_batches_add_up_to_the_whole(aggregation) -> None:
    _, _, _, rollout = batch()
    lengths = rollout.bincount(minlength=R).tolist()
    loss = torch.randn(N, generator=torch.Generator().manual_seed(1))

    def share(low: int, high: int, **totals: int) -> float:
        n = sum(lengths[:low])
        part = loss[n : n + sum(lengths[low:high])]
        return (part * token_weights(lengths[low:high], aggregation, **totals)).sum().item()

    whole = {"total_rollouts": R, "total_tokens": N, "horizon": HORIZON}
    cuts = [(0, 1), (1, 3), (3, R)]
    total = sum(share(*cut, **whole) for cut in cuts)
    assert total == pytest.approx(share(0, R, **whole), abs=1e-6)
    # negative control: each micro-batch averaged over its own rollouts and tokens
    own = [
        share(
            low, high, total_rollouts=high - low, total_tokens=sum(lengths[low:high]),
            horizon=HORIZON,
        )
        for low, high in cuts
    ]  # fmt: skip
    assert abs(sum(own) / len(own) - share(0, R, **whole)) > 1e-3
