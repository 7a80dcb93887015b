"""MLP router with Exponential Depth Averaging (report Eq. 1-5), or its linear baseline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.norm import RMSNorm
from openzaya.model.precision import wide


@dataclass(slots=True)
class Routing:
    """One layer's decision. `weight_N` is the unbiased probability of the chosen class."""

    choice_N: Tensor
    weight_N: Tensor
    latent_NR: Tensor | None  # handed to the next layer's router
    mean_prob_E: Tensor | None  # over the tokens, with gradient; only while training


class RouterMLP(nn.Module):
    """Norm, two GELU layers, class logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        r = config.router_hidden_size
        self.norm = RMSNorm(r, config)
        self.fc1 = nn.Linear(r, r)
        self.fc2 = nn.Linear(r, r)
        self.out_proj = nn.Linear(r, config.router_classes, bias=False)

    def forward(self, z_NR: Tensor) -> Tensor:
        z_NR = F.gelu(self.fc1(self.norm(z_NR)))
        return self.out_proj(F.gelu(self.fc2(z_NR)))


class Router(nn.Module):
    """Scores experts from the block input and the previous layer's router latent."""

    balancing_biases: Tensor

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.kind = config.router
        if self.kind == "linear":
            self.linear = nn.Linear(config.hidden_size, config.router_classes, bias=False)
        else:
            self.down_proj = nn.Linear(config.hidden_size, config.router_hidden_size)
            if layer > 0:
                self.router_states_scale = nn.Parameter(torch.empty(config.router_hidden_size))
            self.router_mlp = RouterMLP(config)
        self.has_depth_average = self.kind == "mlp" and layer > 0
        self.hf = config.numerics == "hf"
        # Selection only: no gradient, moved by load (optim.balance). fp32 whatever the weights are.
        biases = torch.empty(config.router_classes, dtype=torch.float32)
        self.register_buffer("balancing_biases", biases)

    def scores(self, x_ND: Tensor, previous_NR: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Class logits (N, E) and this layer's latent (N, R)."""
        if self.kind == "linear":
            return self.linear(x_ND), None
        latent = self.down_proj(x_ND)
        if self.has_depth_average:
            assert previous_NR is not None
            # The post-average, pre-norm state of the layer below: it accumulates over depth.
            if self.hf:  # two roundings in bf16
                latent = latent + previous_NR * self.router_states_scale
            else:
                latent = torch.addcmul(latent, self.router_states_scale, previous_NR)
        return self.router_mlp(latent), latent

    def forward(self, x_ND: Tensor, previous_NR: Tensor | None, replay_N: Tensor | None) -> Routing:
        """`replay_N` pins the choice (RL: the engine's); the gate stays the live softmax at it."""
        logits, latent = self.scores(x_ND, previous_NR)
        probs_NE = (logits if self.hf else wide(logits)).softmax(-1)
        if replay_N is None:
            choice = (probs_NE.detach().float() + self.balancing_biases).argmax(-1)
        else:
            choice = replay_N
        weight = probs_NE.gather(1, choice[:, None])[:, 0]
        mean = wide(probs_NE).mean(0) if torch.is_grad_enabled() else None
        return Routing(choice, weight.to(x_ND.dtype), latent, mean)
