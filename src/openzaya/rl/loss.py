"""The report's token loss, and how token losses add up to the loss of a batch.

Vectors are (N,): the generated tokens of any number of whole rollouts, end to end.
`behaviour_logp_N` is what the engine stored while sampling, never recomputed, so weight and mask
stay right for tokens of any age. Other losses: `rl.losses`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from openzaya.config.rl_loss import Aggregation


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


def token_weights(
    lengths: Sequence[int],
    aggregation: Aggregation,
    *,
    total_rollouts: int,
    total_tokens: int,
    horizon: int,
) -> Tensor:
    """(N,) what a token's loss counts in the batch's: the loss is sum of weight * token loss.

        rollout_sum    1 / (R * H)      sum in a rollout, mean over rollouts, over a constant
                                        (report: SMTSN; Dr. GRPO, arXiv 2503.20783)
        token_mean     1 / sum |y_i|    mean over all tokens (DAPO, arXiv 2503.14476)
        rollout_mean   1 / (R * |y_i|)  mean in a rollout, mean over rollouts (GRPO)

    `lengths` are those of the rollouts at hand; R = `total_rollouts` and sum |y_i| =
    `total_tokens` count the GLOBAL batch and H = `horizon` is a constant, so micro-batches and
    ranks of any cut add up to the whole.
    """
    assert total_rollouts > 0 and total_tokens > 0 and horizon > 0
    length_R = torch.as_tensor(lengths, dtype=torch.float64)
    if aggregation == "rollout_sum":
        weight_R = torch.full_like(length_R, 1 / (total_rollouts * horizon))
    elif aggregation == "token_mean":
        weight_R = torch.full_like(length_R, 1 / total_tokens)
    else:
        weight_R = 1 / (total_rollouts * length_R)
    return weight_R.repeat_interleave(length_R.long()).float()
