"""MLP router with Exponential Depth Averaging (report Eq. 1-5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.norm import RMSNorm


@dataclass(slots=True)
class Routing:
    """One layer's decision. `weight_N` is the unbiased probability of the chosen class."""

    choice_N: Tensor
    weight_N: Tensor
    latent_NR: Tensor  # handed to the next layer's router


class RouterMLP(nn.Module):
    """Norm, two GELU layers, class logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        r = config.router_hidden_size
        self.norm = RMSNorm(r, config.rms_norm_eps)
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
        self.down_proj = nn.Linear(config.hidden_size, config.router_hidden_size)
        if layer > 0:
            self.router_states_scale = nn.Parameter(torch.empty(config.router_hidden_size))
        self.has_depth_average = layer > 0
        self.router_mlp = RouterMLP(config)
        # Selection only: no gradient, moved by load (optim.balance). fp32 whatever the weights are.
        self.register_buffer("balancing_biases", torch.empty(config.router_classes))

    def forward(self, x_ND: Tensor, previous_NR: Tensor | None, replay_N: Tensor | None) -> Routing:
        """`replay_N` pins the choice (RL: the engine's); the gate stays the live softmax at it."""
        latent = self.down_proj(x_ND)
        if self.has_depth_average:
            assert previous_NR is not None
            # The post-average, pre-norm state of the layer below: it accumulates over depth.
            latent = latent + self.router_states_scale * previous_NR
        probs_NE = self.router_mlp(latent).float().softmax(-1)
        if replay_N is None:
            choice = (probs_NE.detach() + self.balancing_biases).argmax(-1)
        else:
            choice = replay_N
        weight = probs_NE.gather(1, choice[:, None])[:, 0]
        return Routing(choice, weight.to(x_ND.dtype), latent)
