"""Named token losses, each from its paper's equation; `token_loss` picks one by config.

    pi    probability of the drawn token under the trainer, with its gradient
    mu    the same under the engine that drew it, as stored; whatever its age
    rho   pi / mu                     A   the rollout's advantage
    sg    stop gradient               |y| its length

Papers that tell three policies apart (trainer now, trainer when sampled, engine) compute the middle
one again; here a batch is one optimizer step and mu is the engine's own, so that rho holds the
staleness and the difference between the two programs in one. All are minimised, and are the
negative of the papers' objectives before aggregation (`rl.loss.token_weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from openzaya.config.rl_loss import LossConfig
from openzaya.rl.loss import binary_tv_mask, policy_loss

MAX_LOG_RATIO = 20.0
"""Ratios that carry a gradient are bounded at e^20, as VeRL does: beyond is no policy any more."""

Level = Literal["token", "rollout", "geometric"]


class TokenLoss(NamedTuple):
    """Per token: the loss, and whether it has a gradient."""

    loss_N: Tensor
    keep_N: Tensor


def token_loss(
    config: LossConfig,
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    lengths: Sequence[int],
) -> TokenLoss:
    """The configured loss; `lengths` of the rollouts, whose tokens lie end to end."""
    given = (logp_N, behaviour_logp_N, advantage_N)
    match config.kind:
        case "dppo":
            return dppo(*given, _set(config.delta), config.cap if config.importance else None)
        case "ppo-clip":
            return ppo_clip(*given, _set(config.clip_low), _set(config.clip_high))
        case "cispo":
            return cispo(*given, _set(config.clip_low), _set(config.clip_high))
        case "gspo":
            return gspo(*given, lengths, _set(config.clip_low), _set(config.clip_high))
        case "tis":
            return tis(*given, lengths, _set(config.cap), config.level or "token")
        case "icepop":
            assert config.band is not None
            return icepop(*given, lengths, config.band, config.level or "token")
        case "reinforce":
            return reinforce(logp_N, advantage_N)


def _set(value: float | None) -> float:
    assert value is not None, "the config fills in what its kind reads"
    return value


def reinforce(logp_N: Tensor, advantage_N: Tensor) -> TokenLoss:
    """-A log pi: no correction of any kind, biased on tokens of other weights."""
    return TokenLoss(-advantage_N * logp_N, torch.ones_like(logp_N, dtype=torch.bool))


def dppo(
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    delta: float,
    ratio_cap: float | None,
) -> TokenLoss:
    """-A sg(min(rho, cap)) M log pi, with M = 0 where A > 0 and pi - mu > delta, or A <= 0 and
    pi - mu < -delta (DPPO's Binary-TV; the report's loss)."""
    loss_N = policy_loss(logp_N, behaviour_logp_N, advantage_N, delta=delta, ratio_cap=ratio_cap)
    return TokenLoss(loss_N, binary_tv_mask(logp_N, behaviour_logp_N, advantage_N, delta))


def ppo_clip(
    logp_N: Tensor, behaviour_logp_N: Tensor, advantage_N: Tensor, low: float, high: float
) -> TokenLoss:
    """-min(rho A, clip(rho, 1 - low, 1 + high) A).

    PPO (arXiv 1707.06347) with low = high; GRPO (arXiv 2402.03300) with 0.2 and rollout_mean; DAPO
    (arXiv 2503.14476) with 0.2, 0.28 and token_mean. No gradient where A > 0 and rho > 1 + high, or
    A < 0 and rho < 1 - low.
    """
    ratio_N = _differentiable_ratio(logp_N - behaviour_logp_N)
    return _clipped(ratio_N, advantage_N, low, high)


def gspo(
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    lengths: Sequence[int],
    low: float,
    high: float,
) -> TokenLoss:
    """-min(s A, clip(s, 1 - low, 1 + high) A), s = (prod_t rho_t)^(1/|y|) (arXiv 2507.18071).

    One ratio for a whole rollout, the geometric mean, which is clipped as a whole. Written per
    token, as the paper's GSPO-token: s_t = sg(s) pi_t / sg(pi_t), equal in value, with gradient
    s * grad log pi_t. With rollout_mean these add up to the paper's gradient,
    s A / |y| * sum_t grad log pi_t; with another aggregation it is GSPO's ratio in another loss.
    """
    log_s_N = _rollout_log_ratio(logp_N.detach() - behaviour_logp_N, lengths, mean=True)
    ratio_N = _differentiable_ratio(log_s_N + (logp_N - logp_N.detach()))
    return _clipped(ratio_N, advantage_N, low, high)


def cispo(
    logp_N: Tensor, behaviour_logp_N: Tensor, advantage_N: Tensor, low: float, high: float
) -> TokenLoss:
    """-A sg(clip(rho, 1 - low, 1 + high)) log pi (CISPO; MiniMax-M1, arXiv 2506.13585).

    The weight is clipped, not the update: every token keeps a gradient, rare ones too. The paper
    sets no lower bound (low = 1).
    """
    ratio_N = (logp_N.detach() - behaviour_logp_N).exp().clamp(1 - low, 1 + high)
    return _weighted(logp_N, advantage_N, ratio_N, torch.ones_like(ratio_N, dtype=torch.bool))


def tis(
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    lengths: Sequence[int],
    cap: float,
    level: Level = "token",
) -> TokenLoss:
    """-A sg(min(w, cap)) log pi: truncated importance sampling (IMPALA, arXiv 1802.01561; between
    engine and trainer: Yao et al. 2025, C = 2).

    w is the token's rho, or (`level`) its rollout's product or geometric mean. Only the product
    makes the gradient unbiased at any staleness, as far as the cap is not reached; its variance
    grows with the length.
    """
    weight_N = _ratio(logp_N, behaviour_logp_N, lengths, level).clamp(max=cap)
    return _weighted(logp_N, advantage_N, weight_N, torch.ones_like(weight_N, dtype=torch.bool))


def icepop(
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    lengths: Sequence[int],
    band: tuple[float, float],
    level: Level = "token",
) -> TokenLoss:
    """-A sg(M(w)) log pi, M(w) = w for w in [alpha, beta], else 0 (IcePop, arXiv 2510.18855:
    0.5, 5).

    Masked on both sides whatever the sign of A. With `level` geometric a whole rollout is kept or
    dropped.
    """
    weight_N = _ratio(logp_N, behaviour_logp_N, lengths, level)
    keep_N = (weight_N >= band[0]) & (weight_N <= band[1])
    return _weighted(logp_N, advantage_N, weight_N, keep_N)


def _weighted(logp_N: Tensor, advantage_N: Tensor, weight_N: Tensor, keep_N: Tensor) -> TokenLoss:
    # where twice: neither a dropped token's weight nor its log-probability need be finite.
    weight_N = torch.where(keep_N, weight_N, 0.0)
    return TokenLoss(torch.where(keep_N, -advantage_N * weight_N * logp_N, 0.0), keep_N)


def _clipped(ratio_N: Tensor, advantage_N: Tensor, low: float, high: float) -> TokenLoss:
    clipped_N = ratio_N.clamp(1 - low, 1 + high)
    loss_N = -torch.minimum(ratio_N * advantage_N, clipped_N * advantage_N)
    with torch.no_grad():
        up, down = (advantage_N > 0) & (ratio_N > 1 + high), (advantage_N < 0) & (ratio_N < 1 - low)
    return TokenLoss(loss_N, ~(up | down))


def _differentiable_ratio(log_ratio_N: Tensor) -> Tensor:
    return log_ratio_N.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


@torch.no_grad()
def _ratio(
    logp_N: Tensor, behaviour_logp_N: Tensor, lengths: Sequence[int], level: Level
) -> Tensor:
    log_ratio_N = logp_N - behaviour_logp_N
    if level != "token":
        log_ratio_N = _rollout_log_ratio(log_ratio_N, lengths, mean=level == "geometric")
    return log_ratio_N.exp()


def _rollout_log_ratio(log_ratio_N: Tensor, lengths: Sequence[int], mean: bool) -> Tensor:
    """Each token's: the sum over its rollout, or the mean."""
    length_R = torch.as_tensor(lengths, device=log_ratio_N.device)
    rollout_N = torch.arange(len(length_R), device=length_R.device).repeat_interleave(length_R)
    assert len(rollout_N) == len(log_ratio_N)
    sum_R = log_ratio_N.new_zeros(len(length_R)).index_add(0, rollout_N, log_ratio_N)
    return (sum_R / length_R.clamp(min=1) if mean else sum_R)[rollout_N]
