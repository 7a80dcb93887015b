"""Muon against torch.optim.Muon, an SVD, itself expert by expert; and the idle-expert guard."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from openzaya.optim.muon import Muon, newton_schulz, update_scale

SHAPES = [(24, 16), (16, 24), (16, 16), (24, 16)]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(shapes: list[tuple[int, ...]]) -> list[nn.Parameter]:
    return [nn.Parameter(randn(*s, seed=i)) for i, s in enumerate(shapes)]


def set_gradients(params: list[nn.Parameter], step: int) -> None:
    for i, p in enumerate(params):
        p.grad = randn(*p.shape, seed=1000 * step + i)


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (3, 16, 16), (2, 3, 8, 12)])
def test_newton_schulz_keeps_singular_vectors(shape: tuple[int, ...]) -> None:
    # double, so that what remains is the iteration and not rounding
    g = randn(*shape).double()
    u, _, vh = torch.linalg.svd(g, full_matrices=False)
    turned = u.mT @ newton_schulz(g, dtype=torch.float64) @ vh.mT
    values = turned.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(turned, torch.diag_embed(values))
    assert values.min() > 0.65 and values.max() < 1.2
    # negative control: the gradient itself is far from orthogonal
    untouched = torch.linalg.svdvals(g / torch.linalg.matrix_norm(g, keepdim=True))
    assert untouched.min() < 0.2


def test_newton_schulz_keeps_zero() -> None:
    assert not newton_schulz(torch.zeros(2, 4, 3)).any()


def test_newton_schulz_ignores_the_gradients_scale() -> None:
    g = randn(8, 8)
    torch.testing.assert_close(newton_schulz(g), newton_schulz(1e-3 * g), rtol=1e-4, atol=1e-5)


def run_beside_torch(
    momentum: float, nesterov: bool, scale: str, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(ours, torch's, start) of each weight after four steps on the same gradients."""
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    options = {"lr": 0.1, "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.1}
    mine = Muon(ours, scale=scale, ns_dtype=dtype, **options)  # type: ignore[arg-type]
    adjust = "match_rms_adamw" if scale == "match_rms" else "original"
    reference = torch.optim.Muon(theirs, adjust_lr_fn=adjust, **options)  # type: ignore[arg-type]
    for step in range(4):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        mine.step()
        reference.step()
    triples = zip(ours, theirs, parameters(SHAPES), strict=True)
    return [(a.detach(), b.detach(), start.detach()) for a, b, start in triples]


@pytest.mark.parametrize("momentum", [0.0, 0.95])
@pytest.mark.parametrize("scale", ["match_rms", "original"])
def test_agrees_with_torch(momentum: float, scale: str) -> None:
    # bf16 rounding depends on the order of sums (3-5% between layouts; 0 on the box of writing)
    for ours, theirs, start in run_beside_torch(momentum, True, scale, torch.bfloat16):
        assert (ours - theirs).norm() < 0.05 * (theirs - start).norm()


@pytest.mark.parametrize("momentum", [0.0, 0.95])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", ["match_rms", "original"])
def test_agrees_with_torch_closely_once_rounding_is_out_of_the_way(
    momentum: float, nesterov: bool, scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Give torch our fp32 iteration: what is left is momentum, decay, scale and batching.
    monkeypatch.setattr(
        "torch.optim._muon._zeropower_via_newtonschulz",
        lambda grad, coefficients, steps, eps: newton_schulz(grad, steps, coefficients),
    )
    for ours, theirs, _ in run_beside_torch(momentum, nesterov, scale, torch.float32):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    if momentum:  # negative control: this tolerance tells the two kinds of momentum apart
        other = run_beside_torch(momentum, not nesterov, scale, torch.float32)
        ours = run_beside_torch(momentum, nesterov, scale, torch.float32)
        assert (ours[0][0] - other[0][1]).abs().max() > 1e-3


def test_match_rms_has_adams_size() -> None:
    (p,) = parameters([(64, 32)])
    before = p.detach().clone()
    set_gradients([p], 1)
    Muon([p], lr=1.0).step()
    assert 0.12 < (p - before).square().mean().sqrt() < 0.25


def test_scales() -> None:
    assert update_scale("match_rms", 25, 100) == update_scale("match_rms", 100, 25) == 2.0
    assert update_scale("original", 100, 25) == 2.0
    assert update_scale("original", 25, 100) == 1.0


@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_stack_is_its_experts_one_by_one(momentum: float) -> None:
    stack = nn.Parameter(randn(3, 12, 8))
    single = [nn.Parameter(e.clone()) for e in stack.detach()]
    together = Muon([stack], lr=0.1, momentum=momentum, weight_decay=0.1)
    apart = [Muon([e], lr=0.1, momentum=momentum, weight_decay=0.1) for e in single]
    for step in range(3):
        set_gradients([stack], step)
        assert stack.grad is not None
        for e, g, optimizer in zip(single, stack.grad, apart, strict=True):
            e.grad = g.clone()
            optimizer.step()
        together.step()
    for e, s in zip(single, stack, strict=True):
        torch.testing.assert_close(e, s)
    # negative control: orthogonalising the stack as one tall matrix is another update
    flat = newton_schulz(randn(36, 8)).view(3, 12, 8)
    assert (flat - newton_schulz(randn(3, 12, 8))).abs().max() > 0.1


def test_batches_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for elements in (1, 250, 10**6):  # one by one; across the stacks' borders; all at once
        monkeypatch.setattr("openzaya.optim.muon._BATCH_ELEMENTS", elements)
        params = parameters([(3, 12, 8), (12, 8), (2, 12, 8)])
        set_gradients(params, 0)
        Muon(params, lr=0.1).step()
        moved.append(torch.cat([p.detach().reshape(-1, 12, 8) for p in params]))
    torch.testing.assert_close(moved[0], moved[1])
    torch.testing.assert_close(moved[0], moved[2])


@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_experts_without_enough_tokens_do_not_move(momentum: float) -> None:
    stack, bare = parameters([(3, 8, 6), (3, 8, 6)])
    bare.data.copy_(stack.data)
    guarded = Muon([stack], lr=0.1, momentum=momentum, weight_decay=0.1, min_expert_tokens=4)
    unguarded = Muon([bare], lr=0.1, momentum=momentum, weight_decay=0.1)
    set_gradients([stack, bare], 0)
    guarded.step(expert_tokens={stack: torch.tensor([9, 9, 9])})
    unguarded.step()
    before, bare_before = stack.detach().clone(), bare.detach().clone()
    # Expert 0 was starved (noise), expert 1 idle, expert 2 has exactly enough.
    grad = randn(3, 8, 6, seed=5)
    grad[0] *= 1e-6
    grad[1] = 0
    stack.grad, bare.grad = grad.clone(), grad.clone()
    guarded.step(expert_tokens={stack: torch.tensor([3, 0, 4])})
    unguarded.step()
    assert torch.equal(stack[:2], before[:2])
    assert not torch.equal(stack[2], before[2])
    if momentum:
        buffer = guarded.state[stack]["momentum_buffer"]
        torch.testing.assert_close(buffer[:2], 0.05 * randn(3, 8, 6, seed=0)[:2])
    # negative control: without the guard noise takes a full-size step and the idle one decays
    moved = (bare - bare_before).norm(dim=(1, 2))
    assert moved[0] > 0.5 * moved[2]
    assert moved[1] > 0


def test_idle_expert_survives_a_gradient_that_is_nan() -> None:
    (stack,) = parameters([(2, 4, 4)])
    before = stack.detach().clone()
    stack.grad = randn(2, 4, 4, seed=1)
    stack.grad[0] = torch.nan
    optimizer = Muon([stack], lr=0.1, min_expert_tokens=1)
    optimizer.step(expert_tokens={stack: torch.tensor([0, 5])})
    assert torch.equal(stack[0], before[0])
    assert stack.isfinite().all()


def test_no_momentum_means_no_state() -> None:
    params = parameters([(8, 8), (2, 8, 8)])
    optimizer = Muon(params, lr=0.1, momentum=0.0)
    for step in range(2):
        set_gradients(params, step)
        optimizer.step()
    assert not optimizer.state
    assert not optimizer.state_dict()["state"]


def test_state_round_trip_mid_run_is_exact() -> None:
    params = parameters([(8, 6), (2, 8, 6)])
    optimizer = Muon(params, lr=0.1)
    for step in range(3):
        set_gradients(params, step)
        optimizer.step()
    resumed = [nn.Parameter(p.detach().clone()) for p in params]
    second = Muon(resumed, lr=9.0)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    fresh = [nn.Parameter(p.detach().clone()) for p in params]
    forgetful = Muon(fresh, lr=0.1)
    for group, engine in ((params, optimizer), (resumed, second), (fresh, forgetful)):
        set_gradients(group, 3)
        engine.step()
    for a, b, c in zip(params, resumed, fresh, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)  # negative control: momentum matters


def test_parameters_without_gradient_stay() -> None:
    params = parameters([(4, 4), (4, 4)])
    before = [p.detach().clone() for p in params]
    params[0].grad = randn(4, 4)
    Muon(params, lr=0.1, weight_decay=0.1).step()
    assert not torch.equal(params[0], before[0])
    assert torch.equal(params[1], before[1])
