"""The balancing controller: against torch's AdamW, in a simulated router, and its bookkeeping."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.config.optim import BalanceConfig
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.optim.balance import BiasBalancer, auxiliary_loss, load_metrics

L, E, N = 3, 8, 2048


def simulate(balancer: BiasBalancer, biases_LE: Tensor, steps: int) -> list[float]:
    """Load entropy per step of fixed routers with near-uniform probabilities (1/E +- 0.01)."""
    preference_LE = 0.01 * torch.randn(L, E, generator=torch.Generator().manual_seed(1))
    entropies = []
    for step in range(steps):
        noise = torch.randn(N, L, E, generator=torch.Generator().manual_seed(100 + step))
        probs_NLE = 1 / E + preference_LE + 0.01 * noise
        choice_NL = (probs_NLE + biases_LE).argmax(-1)
        counts_LE = torch.stack([torch.bincount(c, minlength=E) for c in choice_NL.T])
        entropies.append(load_metrics(counts_LE)["load_entropy"])
        balancer.update(biases_LE, counts_LE)
    return entropies


@pytest.mark.parametrize("kind", ["adamw", "sign"])
def test_balances_a_router(kind: str) -> None:
    entropies = simulate(
        BiasBalancer(L, E, BalanceConfig(kind=kind)),  # type: ignore[arg-type]
        torch.zeros(L, E),
        150,
    )
    assert entropies[0] < 0.7
    assert min(entropies[-20:]) > 0.98


def test_steps_larger_than_the_routers_spread_do_not_balance() -> None:
    # All tokens follow the bias: the load jumps from expert to expert.
    entropies = simulate(BiasBalancer(L, E, BalanceConfig(lr=1.0)), torch.zeros(L, E), 150)
    assert max(entropies[-20:]) < 0.3


def test_off_moves_nothing() -> None:
    biases_LE = torch.zeros(L, E)
    entropies = simulate(BiasBalancer(L, E, BalanceConfig(kind="off")), biases_LE, 20)
    assert not biases_LE.any()
    assert max(entropies) < 0.7


def test_is_adamw_on_the_pseudo_gradient() -> None:
    ours, theirs = torch.zeros(L, E), torch.nn.Parameter(torch.zeros(L, E))
    balancer = BiasBalancer(L, E, BalanceConfig())
    reference = torch.optim.AdamW([theirs], lr=1e-3, weight_decay=0.0)
    for step in range(10):
        counts_LE = torch.randint(0, 50, (L, E), generator=torch.Generator().manual_seed(step))
        theirs.grad = counts_LE / counts_LE.sum(1, keepdim=True) - 1 / E
        reference.step()
        balancer.update(ours, counts_LE)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-7)


def test_first_step_is_lr_against_the_load() -> None:
    for kind in ("adamw", "sign"):
        biases_LE = torch.zeros(1, 4)
        balancer = BiasBalancer(1, 4, BalanceConfig(kind=kind))  # type: ignore[arg-type]
        balancer.update(biases_LE, torch.tensor([[7, 1, 4, 4]]))
        torch.testing.assert_close(biases_LE, torch.tensor([[-1e-3, 1e-3, 0.0, 0.0]]))


def test_perfect_balance_moves_nothing() -> None:
    # 1/3 is not a float: without the exact numerator AdamW would blow the rounding up to a step
    biases_LE = torch.zeros(2, 3)
    BiasBalancer(2, 3, BalanceConfig()).update(biases_LE, torch.full((2, 3), 7))
    assert not biases_LE.any()


def test_skip_class_is_left_alone() -> None:
    with_skip = [torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, -1.0])]
    without = torch.zeros(2, 2)
    counts_LE = torch.tensor([[30, 10, 60], [5, 5, 90]])
    balancer = BiasBalancer(2, 2, BalanceConfig())
    balancer.update(with_skip, counts_LE)
    BiasBalancer(2, 2, BalanceConfig()).update(without, counts_LE[:, :2])
    for row, expected in zip(with_skip, without, strict=True):
        assert torch.equal(row[:2], expected)
        assert row[2] == -1


def test_bit_reproducible_and_state_round_trip() -> None:
    whole, cut, forgetful = (torch.zeros(L, E) for _ in range(3))
    balancer = BiasBalancer(L, E, BalanceConfig())
    simulate(balancer, whole, 10)
    state = copy.deepcopy(balancer.state_dict())
    repeated = BiasBalancer(L, E, BalanceConfig())
    simulate(repeated, cut, 10)
    assert torch.equal(whole, cut)
    forgetful.copy_(whole)
    resumed = BiasBalancer(L, E, BalanceConfig())
    resumed.load_state_dict(state)
    simulate(balancer, whole, 5)
    simulate(resumed, cut, 5)
    simulate(BiasBalancer(L, E, BalanceConfig()), forgetful, 5)
    assert torch.equal(whole, cut)
    assert not torch.equal(whole, forgetful)  # negative control: the moments matter


def test_saved_state_does_not_follow_the_run() -> None:
    balancer = BiasBalancer(1, 2, BalanceConfig())
    state = balancer.state_dict()
    balancer.update(torch.zeros(1, 2), torch.tensor([[3, 1]]))
    assert not state["first_LE"].any()


def test_load_metrics_by_hand() -> None:
    metrics = load_metrics(torch.tensor([[2, 2, 2, 2], [4, 4, 0, 0], [8, 0, 0, 0]]))
    assert metrics["load_entropy_per_layer"] == pytest.approx([1.0, 0.5, 0.0])
    assert metrics["load_entropy"] == pytest.approx(0.5)
    assert metrics["dead_experts"] == 5
    assert metrics["largest_load"] == 1.0
    assert metrics["dead_experts_per_layer"] == [0, 2, 3]
    assert metrics["largest_load_per_layer"] == [0.25, 0.5, 1.0]
    assert math.isfinite(metrics["load_entropy"])


def test_the_auxiliary_loss_by_hand() -> None:
    prob = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    counts = torch.tensor([[2, 1, 1], [4, 0, 0]])
    # 3 * (1/2 * 1/2 + 2 * 1/4 * 1/4) = 1.125, and 3 * 1/3 = 1
    assert auxiliary_loss(prob, counts) == pytest.approx(1.0625)


def test_the_auxiliary_loss_balances_a_learned_router() -> None:
    """Through the network's own mean probabilities; without the loss nothing moves."""
    config = ModelConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, num_experts=4, moe_intermediate_size=16,
        router_hidden_size=16, initializer_range=0.3,
    )  # fmt: skip
    ids = torch.randint(0, 40, (400,), generator=torch.Generator().manual_seed(0))

    def entropy(coefficient: float) -> tuple[float, float]:
        model = ZayaForCausalLM(config).initialise(0)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        seen = []
        for _ in range(60):
            out = model(ids, Layout.of([400]))
            counts = torch.stack([torch.bincount(c, minlength=4) for c in out.experts_NL.T])
            seen.append(load_metrics(counts)["load_entropy"])
            assert out.mean_prob_LE is not None
            (coefficient * auxiliary_loss(out.mean_prob_LE, counts)).backward()
            optimizer.step()
            optimizer.zero_grad()
        return seen[0], sum(seen[-10:]) / 10

    before, after = entropy(1.0)
    assert after > before + 0.1
    before, after = entropy(0.0)  # negative control
    assert after == pytest.approx(before)
