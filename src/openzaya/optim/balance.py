"""Load balancing: selection biases driven by an AdamW of their own, without an auxiliary loss.

Report arXiv 2605.05365: the pseudo-gradient of bias b_e is p_e - 1/E, with p_e the fraction of the
global batch's tokens that expert e received. AdamW's first moment acts as the integral of a PID
controller and the raw term as its proportional part. The step counts in units of probability, so
it must stay small against the routers' spread or the load oscillates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from openzaya.config.optim import BalanceConfig


class BiasBalancer:
    """Moves the biases of L layers with E experts once per optimizer step.

    Elementwise fp32 from exact integer counts: bit-reproducible, whatever the ranks' order.
    """

    def __init__(self, layers: int, experts: int, cfg: BalanceConfig) -> None:
        self.cfg = cfg
        self.steps = 0
        self.first_LE = torch.zeros(layers, experts)
        self.second_LE = torch.zeros(layers, experts)

    @torch.no_grad()
    def update(self, biases: Tensor | Sequence[Tensor], counts_LE: Tensor) -> None:
        """Move `biases` in place by the integer loads `counts_LE` of the whole global batch.

        `biases` is (L, E) or the model's list of L rows. Columns beyond E (the skip class) belong
        to no expert: they neither count as load nor move.
        """
        if self.cfg.kind in ("off", "aux"):
            return
        shape = self.first_LE.shape
        assert len(biases) == shape[0] and counts_LE.shape[0] == shape[0]
        counts_LE = counts_LE[:, : shape[1]].cpu()
        step_LE = self._step(_pseudo_gradient(counts_LE))
        for bias, step_E in zip(biases, step_LE, strict=True):
            bias[: shape[1]] -= step_E.to(bias)

    def _step(self, grad_LE: Tensor) -> Tensor:
        """What the biases lose: AdamW's step without decay, or its sign form."""
        cfg = self.cfg
        if cfg.kind == "sign":
            return cfg.lr * grad_LE.sign()
        beta1, beta2 = cfg.betas
        self.steps += 1
        self.first_LE.lerp_(grad_LE, 1 - beta1)
        self.second_LE.mul_(beta2).addcmul_(grad_LE, grad_LE, value=1 - beta2)
        rms_LE = (self.second_LE / (1 - beta2**self.steps)).sqrt()
        return cfg.lr / (1 - beta1**self.steps) * self.first_LE / (rms_LE + cfg.eps)

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "first_LE": self.first_LE.clone(),
            "second_LE": self.second_LE.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self.first_LE.copy_(state["first_LE"])
        self.second_LE.copy_(state["second_LE"])


def auxiliary_loss(mean_prob_LE: Tensor, counts_LE: Tensor) -> Tensor:
    """E * sum_e p_e P_e, mean over layers: 1 when balanced (Switch Transformer, arXiv 2101.03961).

    `mean_prob_LE` are the routers' mean probabilities, with gradient; `counts_LE` the loads.
    Columns beyond the experts (the skip class) must be cut off both.
    """
    share_LE = counts_LE / counts_LE.sum(1, keepdim=True).clamp(min=1)
    return counts_LE.shape[1] * (share_LE.to(mean_prob_LE) * mean_prob_LE).sum(1).mean()


def _pseudo_gradient(counts_LE: Tensor) -> Tensor:
    """p_e - 1/E per layer, fp32. The numerator is an exact integer: AdamW ignores the size of a
    gradient, so rounding noise at perfect balance would otherwise move the biases."""
    assert not counts_LE.is_floating_point(), "loads are integers"
    total_L1 = counts_LE.sum(1, keepdim=True)
    experts = counts_LE.shape[1]
    excess_LE = counts_LE * experts - total_L1
    # A layer without load (all tokens skipped) has nothing to balance; its excess is 0.
    return (excess_LE.double() / (total_L1 * experts).clamp(min=1)).float()


def load_metrics(counts_LE: Tensor) -> dict[str, Any]:
    """How even integer loads (L, E) are, per layer and together; pass real experts only.

    Entropy is H(p)/ln E: 1 is perfect, 0 is a single expert. `dead_experts` had no token, all
    layers together. `largest_load` is the largest share of an expert in its layer; 1/E is perfect.
    """
    p_LE = counts_LE.double() / counts_LE.sum(1, keepdim=True).clamp(min=1)
    entropy_L = torch.special.entr(p_LE).sum(1) / math.log(counts_LE.shape[1])
    return {
        "load_entropy": entropy_L.mean().item(),
        "load_entropy_per_layer": entropy_L.tolist(),
        "dead_experts": int((counts_LE == 0).sum()),
        "dead_experts_per_layer": (counts_LE == 0).sum(1).tolist(),
        "largest_load": p_LE.max().item(),
        "largest_load_per_layer": p_LE.amax(1).tolist(),
    }
