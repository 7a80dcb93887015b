"""Every named loss by hand, against a loop over tokens, and in micro-batches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from openzaya.config.base import load_recipe, to_plain
from openzaya.config.rl_loss import Aggregation, LossConfig
from openzaya.errors import ConfigError
from openzaya.rl import losses
from openzaya.rl.loss import token_weights
from openzaya.rl.losses import token_loss

LENGTHS = [5, 1, 9, 30, 2, 13]
N, R = sum(LENGTHS), len(LENGTHS)
KINDS = [
    pytest.param(overrides, id="-".join(overrides))
    for overrides in (
        ["kind=dppo"], ["kind=dppo", "importance=false"], ["kind=ppo-clip"], ["kind=cispo"],
        ["kind=cispo", "clip_low=0.3", "clip_high=0.4"], ["kind=gspo"],
        ["kind=gspo", "clip_low=0.05", "clip_high=0.1"], ["kind=tis"],
        ["kind=tis", "level=rollout"], ["kind=tis", "level=geometric"], ["kind=icepop"],
        ["kind=icepop", "level=geometric", "band=[0.95, 1.1]"], ["kind=reinforce"],
    )
]  # fmt: skip


def config(overrides: list[str]) -> LossConfig:
    return load_recipe(LossConfig, None, overrides)


def batch(seed: int = 0, spread: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """logp, behaviour logp, advantage: float64, all sides of all bounds."""
    g = torch.Generator().manual_seed(seed)
    behaviour = -2 * torch.rand(N, generator=g, dtype=torch.float64) - 0.05
    noise = spread * torch.randn(N, generator=g, dtype=torch.float64)
    logp = (behaviour + noise).clamp(max=-0.01).requires_grad_()
    advantage = torch.tensor([1.0, -1.5, 0.7, -0.4, 2.0, -0.1], dtype=torch.float64)
    return logp, behaviour, advantage.repeat_interleave(torch.tensor(LENGTHS))


def slow(
    c: LossConfig, logp: list[float], behaviour: list[float], advantage: list[float]
) -> tuple[list[float], list[float]]:
    """(losses, gradients with respect to log pi) token by token, from the papers' definitions."""
    values, slopes = [], []
    start = 0
    for length in LENGTHS:
        tokens = range(start, start + length)
        start += length
        product = math.prod(math.exp(logp[t] - behaviour[t]) for t in tokens)
        for t in tokens:
            a, lp = advantage[t], logp[t]
            pi, mu = math.exp(lp), math.exp(behaviour[t])
            rho = pi / mu
            w = {"rollout": product, "geometric": product ** (1 / length)}.get(c.level or "", rho)
            if c.kind == "reinforce":
                value, slope = -a * lp, -a
            elif c.kind == "dppo":
                out = (a > 0 and pi - mu > c.delta) or (a <= 0 and pi - mu < -c.delta)  # type: ignore[operator]
                weight = min(rho, c.cap) if c.importance else 1.0  # type: ignore[type-var]
                value, slope = (0.0, 0.0) if out else (-a * weight * lp, -a * weight)
            elif c.kind in ("ppo-clip", "gspo"):
                r = rho if c.kind == "ppo-clip" else product ** (1 / length)
                bounded = min(max(r, 1 - c.clip_low), 1 + c.clip_high)  # type: ignore[operator]
                value = -min(r * a, bounded * a)
                slope = -a * r if r * a <= bounded * a else 0.0  # d rho = rho d log pi
            elif c.kind == "cispo":
                weight = min(max(rho, 1 - c.clip_low), 1 + c.clip_high)  # type: ignore[operator]
                value, slope = -a * weight * lp, -a * weight
            elif c.kind == "tis":
                value, slope = -a * min(w, c.cap) * lp, -a * min(w, c.cap)  # type: ignore[type-var]
            else:
                low, high = c.band  # type: ignore[misc]
                weight = w if low <= w <= high else 0.0
                value, slope = -a * weight * lp, -a * weight
            values.append(value)
            slopes.append(slope)
    return values, slopes


@pytest.mark.parametrize("overrides", KINDS)
def test_each_loss_is_its_definition(overrides: list[str]) -> None:
    c = config(overrides)
    spread = 0.02 if c.kind == "gspo" and c.clip_low == 3e-4 else 0.6
    logp, behaviour, advantage = batch(spread=spread)
    loss, keep = token_loss(c, logp, behaviour, advantage, LENGTHS)
    slope = torch.autograd.grad(loss.sum(), logp)[0]
    values, slopes = slow(c, logp.tolist(), behaviour.tolist(), advantage.tolist())
    torch.testing.assert_close(loss.detach(), torch.tensor(values, dtype=torch.float64))
    torch.testing.assert_close(slope, torch.tensor(slopes, dtype=torch.float64))
    assert keep.tolist() == [s != 0 for s in slopes]
    if c.kind in ("ppo-clip", "gspo", "icepop", "dppo"):
        assert 0 < keep.sum() < N, "both sides of the bounds are tried"
    # negative control: the reference sees it if two rollouts' borders are off by one
    if c.kind == "gspo" or c.level in ("rollout", "geometric"):
        moved = [LENGTHS[0] + 1, *LENGTHS[1:-1], LENGTHS[-1] - 1]
        other, _ = token_loss(c, logp, behaviour, advantage, moved)
        assert (other - loss).abs().max() > 1e-6


def one(function, pi: float, mu: float, a: float, *options) -> tuple[float, float]:
    """(loss, gradient) of one token."""
    logp = torch.tensor([pi], dtype=torch.float64).log().requires_grad_()
    behaviour = torch.tensor([mu], dtype=torch.float64).log()
    loss, _ = function(logp, behaviour, torch.tensor([a], dtype=torch.float64), *options)
    return loss.item(), torch.autograd.grad(loss.sum(), logp)[0].item()


def test_ppo_clip_by_hand() -> None:
    """DAPO's clip-higher: 0.2 below, 0.28 above."""
    clip = (losses.ppo_clip, 0.2, 0.28)

    def of(pi: float, mu: float, a: float) -> tuple[float, float]:
        return one(clip[0], pi, mu, a, *clip[1:])

    assert of(0.5, 0.4, 1.0) == pytest.approx((-1.25, -1.25))  # 1.25 is inside
    assert of(0.6, 0.4, 1.0) == pytest.approx((-1.28, 0.0))  # above, and pushed further up
    assert of(0.6, 0.4, -1.0) == pytest.approx((1.5, 1.5))  # above, on its way back
    assert of(0.3, 0.4, -2.0) == pytest.approx((1.6, 0.0))  # 0.75, below, pushed further down
    assert of(0.3, 0.4, 2.0) == pytest.approx((-1.5, -1.5))


def test_cispo_by_hand() -> None:
    """Clipped weights, unclipped gradients: where PPO has none, CISPO still has 1 + high."""
    high = math.log(0.8)
    assert one(losses.cispo, 0.8, 0.1, 1.0, 1.0, 4.0) == pytest.approx((-5 * high, -5.0))
    assert one(losses.cispo, 0.8, 0.1, -1.0, 1.0, 4.0) == pytest.approx((5 * high, 5.0))
    low = math.log(0.01)
    assert one(losses.cispo, 0.01, 0.1, 1.0, 1.0, 4.0) == pytest.approx((-0.1 * low, -0.1))
    assert one(losses.cispo, 0.01, 0.1, 1.0, 0.5, 4.0) == pytest.approx((-0.5 * low, -0.5))


def test_gspo_by_hand() -> None:
    """Two rollouts. Ratios 2, 1/2, 1 have geometric mean 1: inside, whatever the tokens do. Ratios
    1.21 and 1 have 1.1: outside of 1.05, the whole rollout is clipped."""
    pi = torch.tensor([0.8, 0.2, 0.5, 0.605, 0.5], dtype=torch.float64)
    mu = torch.tensor([0.4, 0.4, 0.5, 0.5, 0.5], dtype=torch.float64)
    logp = pi.log().requires_grad_()
    advantage = torch.tensor([2.0, 2, 2, 3, 3], dtype=torch.float64)
    loss, keep = losses.gspo(logp, mu.log(), advantage, [3, 2], 0.05, 0.05)
    assert keep.tolist() == [True] * 3 + [False] * 2
    assert loss.tolist() == pytest.approx([-2.0] * 3 + [-3 * 1.05] * 2)
    slope = torch.autograd.grad(loss.sum(), logp)[0]
    assert slope.tolist() == pytest.approx([-2.0] * 3 + [0.0] * 2)


def test_gspo_with_rollout_mean_is_the_papers_objective() -> None:
    """J = mean_i min(s_i A_i, clip(s_i) A_i), s_i with its own gradient through every token."""
    logp, behaviour, advantage = batch(spread=0.1)
    loss, _ = losses.gspo(logp, behaviour, advantage, LENGTHS, 0.02, 0.03)
    weights = token_weights(LENGTHS, "rollout_mean", total_rollouts=R, total_tokens=N, horizon=1)
    ours = (loss * weights.double()).sum()
    objective = torch.zeros((), dtype=torch.float64)
    start = 0
    for length in LENGTHS:
        part = slice(start, start + length)
        s = (logp[part] - behaviour[part]).mean().exp()
        a = advantage[start]
        objective = objective + torch.minimum(s * a, s.clamp(0.98, 1.03) * a) / R
        start += length
    torch.testing.assert_close(ours, -objective, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logp, retain_graph=True)[0],
        torch.autograd.grad(-objective, logp)[0],
        rtol=1e-6, atol=1e-9,
    )  # fmt: skip
    # negative control: token ratios are another objective
    token, _ = losses.ppo_clip(logp, behaviour, advantage, 0.02, 0.03)
    assert ((token * weights).sum() + objective).abs() > 1e-3


def test_tis_and_icepop_by_hand() -> None:
    log = math.log
    assert one(losses.tis, 0.6, 0.2, 1.0, [1], 2.0) == pytest.approx((-2 * log(0.6), -2.0))
    assert one(losses.tis, 0.1, 0.2, 1.0, [1], 2.0) == pytest.approx((-0.5 * log(0.1), -0.5))
    band = (0.5, 5.0)
    assert one(losses.icepop, 0.6, 0.2, -1.0, [1], band) == pytest.approx((3 * log(0.6), 3.0))
    assert one(losses.icepop, 0.6, 0.1, -1.0, [1], band) == (0.0, 0.0)
    assert one(losses.icepop, 0.09, 0.2, 1.0, [1], band) == (0.0, 0.0), "whatever the sign of A"


@pytest.mark.parametrize("overrides", KINDS)
def test_on_policy_all_are_reinforce(overrides: list[str]) -> None:
    logp, _, advantage = batch()
    loss, keep = token_loss(config(overrides), logp, logp.detach(), advantage, LENGTHS)
    assert keep.all()
    torch.testing.assert_close(torch.autograd.grad(loss.sum(), logp)[0], -advantage)


@pytest.mark.parametrize("overrides", KINDS)
def test_extreme_ratios_keep_the_gradient_finite(overrides: list[str]) -> None:
    """Tokens that one side thinks impossible; float32, where exp overflows early."""
    logp = torch.tensor([-1e-3, -1e-3, -200.0, -200.0] + [-1.0] * (N - 4), requires_grad=True)
    behaviour = torch.tensor([-200.0, -200.0, -1e-3, -1e-3] + [-1.0] * (N - 4))
    advantage = torch.tensor([1.0, -1.0] * (N // 2))
    loss, _ = token_loss(config(overrides), logp, behaviour, advantage, LENGTHS)
    assert torch.autograd.grad(loss.sum(), logp)[0].isfinite().all() and loss.isfinite().all()


@pytest.mark.parametrize("aggregation", ["rollout_sum", "token_mean", "rollout_mean"])
@pytest.mark.parametrize("overrides", KINDS)
def test_micro_batches_add_up_to_the_whole(overrides: list[str], aggregation: Aggregation) -> None:
    c = config(overrides)
    logp, behaviour, advantage = batch()

    def share(low: int, high: int) -> Tensor:
        at = slice(sum(LENGTHS[:low]), sum(LENGTHS[:high]))
        lengths = LENGTHS[low:high]
        loss, _ = token_loss(c, logp[at], behaviour[at], advantage[at], lengths)
        weight = token_weights(lengths, aggregation, total_rollouts=R, total_tokens=N, horizon=100)
        return (loss * weight).sum()

    whole, cut = share(0, R), share(0, 1) + share(1, 4) + share(4, R)
    torch.testing.assert_close(cut, whole)
    torch.testing.assert_close(
        torch.autograd.grad(cut, logp)[0], torch.autograd.grad(whole, logp)[0]
    )


def test_config_takes_the_published_values_of_its_kind() -> None:
    assert LossConfig() == config(["kind=dppo", "delta=0.1", "cap=10.0"])
    gspo = config(["kind=gspo"])
    assert (gspo.clip_low, gspo.clip_high, gspo.aggregation) == (3e-4, 4e-4, "rollout_mean")
    assert gspo.delta is None and gspo.cap is None
    assert config(["kind=ppo-clip"]).clip_high == 0.28
    assert config(["kind=tis"]).cap == 2.0 and config(["kind=icepop"]).band == (0.5, 5.0)
    for overrides in (k.values[0] for k in KINDS):
        c = config(overrides)
        assert LossConfig.model_validate(to_plain(c)) == c, "what a run folder holds"


@pytest.mark.parametrize(("overrides", "message"), [
    (["kind=gspo", "delta=0.1"], "delta means nothing to the loss gspo"),
    (["kind=reinforce", "cap=2.0"], "cap means nothing to the loss reinforce"),
    (["level=geometric"], "level means nothing to the loss dppo"),
    (["kind=tis", "importance=false"], "importance is dppo's"),
    (["kind=icepop", "band=[5.0, 0.5]"], "band ends before it begins"),
    (["kind=ppo"], "kind"),
])  # fmt: skip
def test_config_refuses_what_its_kind_does_not_read(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(overrides)
