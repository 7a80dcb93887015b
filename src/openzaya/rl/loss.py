"""The token loss of the RL cascade: masked policy gradient, summed over the global batch.

Vectors are (N,): the generated tokens of any number of rollouts, end to end. `behaviour_logp_N` is
what the engine stored while sampling, never recomputed, so weight and mask stay right for tokens
of any age.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def binary_tv_mask(
    logp_N: Tensor, behaviour_logp_N: Tensor, advantage_N: Tensor, delta: float = 0.1
) -> Tensor:
    """(N,) bool, True where a token keeps its gradient (DPPO's binary TV trust region).

    With pi, mu the chosen token's probability now and when it was drawn, masked are
    A > 0 and pi - mu > delta, and A <= 0 and pi - mu < -delta: tokens that have left the region
    and would move further away. Tokens on their way back pass. delta is the report's 0.1.
    """
    gap_N = logp_N.exp() - behaviour_logp_N.exp()
    return torch.where(advantage_N > 0, gap_N <= delta, gap_N >= -delta)


def policy_loss(
    logp_N: Tensor,
    behaviour_logp_N: Tensor,
    advantage_N: Tensor,
    *,
    delta: float = 0.1,
    ratio_cap: float | None = 10.0,
) -> Tensor:
    """Loss per token (N,): -A * stopgrad(min(pi/mu, ratio_cap)) * mask * log pi.

    `ratio_cap` None leaves the importance weight out: the plain policy gradient.
    """
    keep_N = binary_tv_mask(logp_N, behaviour_logp_N, advantage_N, delta)
    weight_N = -advantage_N
    if ratio_cap is not None:
        ratio_N = (logp_N.detach() - behaviour_logp_N).exp()
        weight_N = weight_N * ratio_N.clamp(max=ratio_cap)
    # where, not a product with 0: a masked token must not pass on a non-finite gradient.
    return torch.where(keep_N, weight_N * logp_N, 0.0)


def sum_per_rollout_mean(loss_N: Tensor, num_rollouts: int, horizon: int) -> Tensor:
    """Scalar: token losses summed within each rollout, averaged over rollouts, over `horizon`.

    Dr. GRPO's aggregation (arXiv 2503.20783): no division by a rollout's own length. Because
    `num_rollouts` counts the GLOBAL batch and `horizon` is a constant (longest response, tokens),
    micro-batches of any cut add up to the whole, and rollout borders need not be known.
    """
    assert num_rollouts > 0 and horizon > 0
    return loss_N.sum() / (num_rollouts * horizon)
