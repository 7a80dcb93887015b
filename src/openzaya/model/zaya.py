"""The whole network: embedding, L blocks of CCA and MoE, tied head. Names match HF's `zaya`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openzaya.config.model import ModelConfig
from openzaya.model.cca import CCA
from openzaya.model.experts import MoE
from openzaya.model.layout import Layout
from openzaya.model.norm import ResidualScale, RMSNorm, merge_and_norm
from openzaya.model.precision import wide
from openzaya.model.rope import Rope, rope_tables
from openzaya.model.router import Routing
from openzaya.model.state import DecodeState, LayerState

VOCABULARY_ROWS = 16384
"""Rows of a half-precision head that are converted to fp32 at one time."""


@dataclass(slots=True)
class ModelOutput:
    """Final normed hidden states and, per token and layer, the router's choice.

    `mean_prob_LE` holds each layer's mean router probabilities with their gradient, for an
    auxiliary balancing loss; None when no gradient is asked for.
    """

    hidden_ND: Tensor
    experts_NL: Tensor
    mean_prob_LE: Tensor | None


class Block(nn.Module):
    """One layer: normed input through CCA, merge, normed input through the experts, merge."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config)
        self.self_attn = CCA(config, layer)
        self.post_attention_residual_scale = ResidualScale(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config)
        self.mlp = MoE(config, layer)
        self.post_mlp_residual_scale = ResidualScale(config)

    def forward(
        self,
        residual_ND: Tensor,
        router_NR: Tensor | None,
        layout: Layout,
        rope: Rope,
        state: LayerState | None,
        replay_N: Tensor | None,
        last_only: bool,
    ) -> tuple[Tensor, Routing]:
        """`last_only`: rows after attention are the segments' last tokens."""
        x_ND = self.input_layernorm(residual_ND)
        attended = self.self_attn(x_ND, layout, rope, state, last_only)
        if last_only:
            residual_ND = residual_ND[layout.last_B]
            router_NR = None if router_NR is None else router_NR[layout.last_B]
        residual_ND, x_ND = merge_and_norm(
            self.post_attention_residual_scale, self.post_attention_layernorm, attended, residual_ND
        )
        mixed, routing = self.mlp(x_ND, router_NR, replay_N)
        residual_ND = self.post_mlp_residual_scale(mixed, residual_ND)
        return residual_ND, routing


class ZayaModel(nn.Module):
    """Everything below the head. The residual stream is fp32 whatever the weights are."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # As in transformers, padding gets no gradient; a packed stream holds none anyway.
        self.embed_tokens = nn.Embedding(
            config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id
        )
        self.input_hidden_states_scale = nn.Parameter(torch.empty(config.hidden_size))
        self.input_hidden_states_bias = nn.Parameter(torch.empty(config.hidden_size))
        self.layers = nn.ModuleList(Block(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config)

    def forward(
        self,
        ids_N: Tensor,
        layout: Layout,
        state: DecodeState | None = None,
        replay_NL: Tensor | None = None,
        last_only: bool = False,
    ) -> ModelOutput:
        embedded = self.embed_tokens(ids_N) + self.input_hidden_states_bias
        residual_ND = wide(embedded * self.input_hidden_states_scale)
        ropes = rope_tables(self.config, layout.position_N)
        router_NR: Tensor | None = None
        routings: list[Routing] = []
        last_only = last_only and not layout.is_decode
        assert not last_only or (state is not None and replay_NL is None)
        for i, block in enumerate(self.layers):
            layer_state = state.layers[i] if state is not None else None
            replay_N = replay_NL[:, i] if replay_NL is not None else None
            residual_ND, routing = block(
                residual_ND, router_NR, layout, ropes[i], layer_state, replay_N,
                last_only and i + 1 == len(self.layers),
            )  # fmt: skip
            router_NR = routing.latent_NR
            routings.append(routing)
        if state is not None:
            state.lengths = [n + p for n, p in zip(layout.lengths, layout.past, strict=True)]
        means = [r.mean_prob_E for r in routings if r.mean_prob_E is not None]
        choices = [r.choice_N for r in routings]
        if last_only:
            choices = [*(c[layout.last_B] for c in choices[:-1]), choices[-1]]
        return ModelOutput(
            self.norm(residual_ND),
            torch.stack(choices, dim=1),
            torch.stack(means) if means else None,
        )


class ZayaForCausalLM(nn.Module):
    """The language model. Fresh weights: `initialise`; from a folder: `checkpoint.load_model`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = ZayaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """The head is the embedding. Again after anything that replaces parameters (`to_empty`,
        `load_state_dict(assign=True)`)."""
        self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        ids_N: Tensor,
        layout: Layout,
        state: DecodeState | None = None,
        replay_NL: Tensor | None = None,
        last_only: bool = False,
    ) -> ModelOutput:
        """Hidden states for `logits`. With `state`, segment b continues row b of it in place.

        `replay_NL` (tokens, layers) pins every router choice to indices seen elsewhere.
        `last_only` (with a state) returns only each segment's last row, and spares the last layer
        the work on all others: what a prefill needs.
        """
        return self.model(ids_N, layout, state, replay_NL, last_only)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """fp32 logits through the tied embedding. Pass only the rows you need."""
        if self.config.numerics == "hf":
            return self.lm_head(hidden_ND).float()
        hidden_ND, weight_VD = wide(hidden_ND), self.lm_head.weight
        if weight_VD.dtype == hidden_ND.dtype:
            return F.linear(hidden_ND, weight_VD)
        # In pieces: the whole head in fp32 would be the largest tensor of the model.
        pieces = weight_VD.split(VOCABULARY_ROWS)
        return torch.cat([F.linear(hidden_ND, piece.float()) for piece in pieces], dim=-1)

    def set_context(self, length: int, rope_theta: float | None) -> None:
        """Serve at least `length` positions, from now on with another RoPE base (None keeps it)."""
        longest = max(length, self.config.max_position_embeddings)
        theta = rope_theta or self.config.rope_theta
        update = {"max_position_embeddings": longest, "rope_theta": theta}
        self.config = self.model.config = self.config.model_copy(update=update)

    @property
    def balancing_biases(self) -> list[Tensor]:
        """The selection biases of all layers, the very buffers the routers read."""
        return [block.mlp.gate.balancing_biases for block in self.model.layers]  # type: ignore[union-attr]

    @torch.no_grad()
    def initialise(self, seed: int) -> ZayaForCausalLM:
        """Fresh weights. Matrices and convolutions N(0, initializer_range); scales 1; biases 0;
        key temperature, MoE branch scale and router output as the config says; skip bias -1."""
        generator = torch.Generator().manual_seed(seed)
        config = self.config
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.endswith("temp"):
                parameter.fill_(config.key_temperature_init)
            elif name.endswith("post_mlp_residual_scale.hidden_states_scale"):
                parameter.fill_(config.moe_branch_scale_init)
            elif parameter.dim() == 1:
                parameter.fill_(1.0)
            else:
                std = config.initializer_range
                if name.endswith("router_mlp.out_proj.weight"):
                    std = config.router_out_std or std
                parameter.normal_(0.0, std, generator=generator)
        for bias in self.balancing_biases:
            bias.zero_()
            bias[config.num_experts :] = -1.0  # the skip class, where it exists
        return self
