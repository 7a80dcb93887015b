"""Estimators where the truth has a closed form: staleness, MaxRL over sequences, KL in the reward.

The policy is a table of logits per version, a walk (`rl.tabular`): staleness s means that tokens
are drawn by the table of s versions ago.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from openzaya.config.base import load_recipe
from openzaya.config.rl_loss import LossConfig
from openzaya.rl.advantage import dr_grpo, maxrl
from openzaya.rl.loss import policy_loss, token_weights
from openzaya.rl.losses import token_loss
from openzaya.rl.tabular import table

V, NOW = 4, 24
REWARD = torch.tensor([0.0, 1.0, 0.2, 0.0], dtype=torch.float64)
BASELINE = 0.3
CORRECTED = [
    ["kind=dppo", "delta=1.0", "cap=1e9"],
    ["kind=cispo", "clip_high=1e9"],
    ["kind=tis", "cap=1e9"],
    ["kind=icepop", "band=[1e-9, 1e9]"],
]
UNCORRECTED = [["kind=reinforce"], ["kind=dppo", "delta=1.0", "importance=false"]]


def logits(version: int, vocabulary: int = V) -> Tensor:
    return torch.from_numpy(table(version, vocabulary))


def loss_of(overrides: list[str]) -> LossConfig:
    return load_recipe(LossConfig, None, overrides)


def bandit_truth() -> Tensor:
    """Gradient of E[r] with respect to the logits: pi * (r - E[r])."""
    pi = logits(NOW).softmax(0)
    return pi * (REWARD - (pi * REWARD).sum())


def bandit_estimate(overrides: list[str], staleness: int) -> Tensor:
    """What each arm contributes to the estimate when it is drawn, (V arms, V logits)."""
    theta = logits(NOW).requires_grad_()
    logp = theta.log_softmax(0)
    behaviour = logits(NOW - staleness).log_softmax(0)
    loss, _ = token_loss(loss_of(overrides), logp, behaviour, REWARD - BASELINE, [1] * V)
    rows = [torch.autograd.grad(-each, theta, retain_graph=True)[0] for each in loss]
    return torch.stack(rows)


@pytest.mark.parametrize("staleness", [0, 1, 4, 24])
@pytest.mark.parametrize("overrides", CORRECTED)
def test_corrected_estimates_are_unbiased_at_any_staleness(
    overrides: list[str], staleness: int
) -> None:
    """Exactly, by enumeration, and within the confidence interval of draws."""
    arm_VV = bandit_estimate(overrides, staleness)
    mu = logits(NOW - staleness).softmax(0)
    torch.testing.assert_close(mu @ arm_VV, bandit_truth())
    drawn = torch.multinomial(mu, 100_000, True, generator=torch.Generator().manual_seed(staleness))
    sample = arm_VV[drawn]
    error = sample.std(0) / len(drawn) ** 0.5
    assert ((sample.mean(0) - bandit_truth()).abs() < 4 * error).all()


@pytest.mark.parametrize("overrides", UNCORRECTED)
def test_uncorrected_estimates_are_not(overrides: list[str]) -> None:
    exact = logits(NOW).softmax(0) @ bandit_estimate(overrides, 0)
    torch.testing.assert_close(exact, bandit_truth())  # right as long as nothing is stale
    mu = logits(NOW - 4).softmax(0)
    arm_VV = bandit_estimate(overrides, 4)
    drawn = torch.multinomial(mu, 100_000, True, generator=torch.Generator().manual_seed(4))
    sample = arm_VV[drawn]
    error = sample.std(0) / len(drawn) ** 0.5
    assert ((sample.mean(0) - bandit_truth()).abs() > 10 * error).any()


def test_caps_and_masks_cost_bias() -> None:
    """Where they cut, estimates are biased, as meant: a cap varies less."""
    mu = logits(0).softmax(0)

    def moments(overrides: list[str]) -> tuple[float, float]:
        arm_VV = bandit_estimate(overrides, NOW)
        mean = mu @ arm_VV
        spread = (mu[:, None] * (arm_VV - mean).square()).sum()
        return (mean - bandit_truth()).norm().item(), spread.item()

    free_bias, free_spread = moments(["kind=tis", "cap=1e9"])
    bias, spread = moments(["kind=tis", "cap=1.0"])
    assert free_bias < 1e-9 < 1e-3 < bias and spread < free_spread
    for overrides in (["kind=dppo", "delta=0.02"], ["kind=icepop", "band=[0.8, 1.25]"]):
        assert moments(overrides)[0] > 1e-3


def sequences(first: Tensor, second: Tensor) -> Tensor:
    """(V^2, 2) log-probabilities of a two-token episode's tokens."""
    pairs = list(itertools.product(range(len(first)), repeat=2))
    one = first.log_softmax(0)[[a for a, _ in pairs]]
    two = second.log_softmax(1)[[a for a, _ in pairs], [b for _, b in pairs]]
    return torch.stack([one, two], 1)


def mdp(version: int, size: int) -> tuple[Tensor, Tensor]:
    """Logits of the first token, and of the second given the first."""
    walk = logits(version, size + size * size)
    return walk[:size].clone(), walk[size:].reshape(size, size).clone()


def mdp_gradients(overrides: list[str], staleness: int) -> tuple[Tensor, Tensor]:
    """(expected estimate, truth) with respect to all logits, by enumeration."""
    size = 3
    first, second = (t.requires_grad_() for t in mdp(NOW, size))
    logp = sequences(first, second)
    behaviour = sequences(*mdp(NOW - staleness, size))
    reward = torch.rand(
        size * size, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    lengths = [2] * size * size
    advantage = (reward - BASELINE).repeat_interleave(2)
    loss, _ = token_loss(
        loss_of(overrides), logp.flatten(), behaviour.flatten(), advantage, lengths
    )
    expected = (behaviour.sum(1).exp().repeat_interleave(2) * -loss).sum()
    value = (logp.sum(1).exp() * reward).sum()

    def flat(of: Tensor) -> Tensor:
        grads = torch.autograd.grad(of, (first, second), retain_graph=True)
        return torch.cat([g.flatten() for g in grads])

    return flat(expected), flat(value)


@pytest.mark.parametrize("staleness", [0, 1, 4, 24])
def test_two_tokens_need_the_weight_of_both(staleness: int) -> None:
    """The product of a rollout's ratios is exact. A token's own ratio, which is all that DPPO,
    CISPO and token-level TIS use, leaves out that its partner was drawn by other weights too."""
    whole, truth = mdp_gradients(["kind=tis", "level=rollout", "cap=1e9"], staleness)
    torch.testing.assert_close(whole, truth)
    token, _ = mdp_gradients(["kind=tis", "cap=1e9"], staleness)
    plain, _ = mdp_gradients(["kind=reinforce"], staleness)
    biases = [(estimate - truth).norm().item() for estimate in (token, plain)]
    if staleness == 0:
        assert max(biases) < 1e-9
    else:
        assert 1e-4 < biases[0] < biases[1], "better than nothing, and not exact"


def test_maxrl_over_sequences_climbs_the_truncated_log_likelihood() -> None:
    """All of it together: advantage, token loss, aggregation, over every group of three episodes.
    The gradient is that of -sum over k < 3 of (1 - p)^k / k."""
    size, group, horizon = 2, 3, 16
    first, second = (t.requires_grad_() for t in mdp(0, size))
    logp = sequences(first, second)
    correct = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    weight = token_weights(
        [2] * group, "rollout_sum", total_rollouts=group, total_tokens=1, horizon=horizon
    )

    def expected(advantage) -> Tensor:
        total = torch.zeros(6, dtype=torch.float64)
        for drawn in itertools.product(range(4), repeat=group):
            index = list(drawn)
            a = advantage(correct[index][None])[0].repeat_interleave(2)
            chosen = logp[index].flatten()
            loss, _ = token_loss(LossConfig(), chosen, chosen.detach(), a, [2] * group)
            summed = (loss * weight).sum() * horizon
            grads = torch.autograd.grad(-summed, (first, second), retain_graph=True)
            chance = logp[index].sum().exp().detach()
            total += chance * torch.cat([g.flatten() for g in grads])
        return total

    def likelihood(order: int) -> Tensor:
        fail = 1 - (logp.sum(1).exp() * correct).sum()
        objective = -sum((fail**k / k for k in range(1, order + 1)), torch.zeros(()))
        grads = torch.autograd.grad(objective, (first, second), retain_graph=True)
        return torch.cat([g.flatten() for g in grads])

    torch.testing.assert_close(expected(maxrl), likelihood(group - 1), rtol=1e-6, atol=1e-8)
    assert (expected(maxrl) - likelihood(group)).abs().max() > 0.005
    # Dr. GRPO climbs p itself, times (G - 1) / G
    torch.testing.assert_close(expected(dr_grpo), likelihood(1) * 2 / 3, rtol=1e-6, atol=1e-8)


def final_length(penalty: float, staleness: int, steps: int = 120) -> float:
    """Mean tokens of a response after training its stopping decision, from 8.

    Content says nothing about the reward, so nothing in the task asks for longer responses. The
    reward is a coin, less `penalty` times the signed log-ratio log(pi/mu) summed over the content,
    drawn by a table that is `staleness` versions old. The stopping decision itself is not stale.
    """
    rng = np.random.default_rng(0)
    stop = torch.tensor(-np.log(7.0), requires_grad=True)
    for step in range(steps):
        now, then = (logits(v).log_softmax(0).numpy() for v in (step + 2, step + 2 - staleness))
        chance = torch.sigmoid(stop).item()
        lengths = np.minimum(rng.geometric(chance, size=128), 200)
        content = rng.choice(V, size=lengths.sum(), p=np.exp(then))
        signed = np.add.reduceat((now - then)[content], lengths.cumsum() - lengths)
        reward = rng.integers(0, 2, 128) - penalty * signed
        advantage = dr_grpo(torch.from_numpy(reward).reshape(8, 16)).flatten().float()
        decision = torch.stack([torch.log1p(-torch.sigmoid(stop)), torch.sigmoid(stop).log()])
        ends = torch.from_numpy(lengths.cumsum() - 1)
        kind = torch.zeros(int(lengths.sum()), dtype=torch.long).index_fill(0, ends, 1)
        logp = decision[kind]
        each = advantage.repeat_interleave(torch.from_numpy(lengths))
        weight = token_weights(
            lengths.tolist(), "rollout_sum", total_rollouts=128, total_tokens=1, horizon=1
        )
        loss = (policy_loss(logp, logp.detach(), each) * weight).sum()
        (slope,) = torch.autograd.grad(loss, stop)
        stop = (stop.detach() - 0.3 * slope).requires_grad_()
    return 1 / torch.sigmoid(stop).item()


def test_signed_kl_in_the_reward_makes_responses_grow() -> None:
    """E[log pi/mu] = -KL < 0 on stale tokens: a penalty on the sum pays for every further token
    (report, appendix E). Without it, as here, and without staleness, lengths stay."""
    assert final_length(penalty=1.0, staleness=2) > 3 * 8
    assert 8 / 1.6 < final_length(penalty=0.0, staleness=2) < 8 * 1.6
    assert 8 / 1.6 < final_length(penalty=1.0, staleness=0) < 8 * 1.6
