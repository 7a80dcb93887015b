"""Shape, initialisation and numerics of the network. Field names are those of HF's `zaya`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from openzaya.config.base import Config


class ModelConfig(Config):
    """One ZAYA network. Defaults are ZAYA1-8B (report section 2; spec: the published config)."""

    vocab_size: PositiveInt = 262272
    hidden_size: PositiveInt = 2048
    num_hidden_layers: PositiveInt = 40
    num_attention_heads: PositiveInt = 8
    num_key_value_heads: PositiveInt = 2
    head_dim: PositiveInt = 128
    cca_time0: Literal[2] = 2
    cca_time1: Literal[2] = 2
    num_experts: PositiveInt = 16
    num_experts_per_tok: PositiveInt = 1
    moe_intermediate_size: PositiveInt = 2048
    router_hidden_size: PositiveInt = 256
    router: Literal["mlp", "linear"] = "mlp"
    """mlp is ZAYA1's, with depth averaging (EDA); linear scores experts straight from the block
    input: the baseline it is compared with."""
    skip_expert: Literal["none", "zero", "scaled"] = "none"
    """The extra router class of released checkpoints. From scratch: none, as in the report."""
    rms_norm_eps: PositiveFloat = 1e-5
    attention_bias: bool = False
    tie_word_embeddings: Literal[True] = True
    rope_theta: PositiveFloat = 1e4
    """10K at 4K context, 1M at 32K, 5M at 131K (report, training phases)."""
    sliding_rope_theta: PositiveFloat = 1e4
    """RoPE base of the layers in `sliding_layers`."""
    partial_rotary_factor: PositiveFloat = Field(default=0.5, le=1.0)
    sliding_window: PositiveInt | None = None
    """Tokens seen by layers listed in `sliding_layers` (the current one included)."""
    sliding_layers: tuple[int, ...] = ()
    max_position_embeddings: PositiveInt = 131072
    bos_token_id: int = 2
    eos_token_id: int = 106
    pad_token_id: int = 0
    numerics: Literal["report", "hf"] = "report"
    """What runs in fp32 when weights are bf16. report: QK mean and norm, router softmax, logits and
    decode state, as in the report; hf: rounded where transformers rounds, for parity checks."""

    initializer_range: PositiveFloat = 0.02
    """Standard deviation of every matrix and convolution (DEFAULT; ZAYA1's is unknown)."""
    key_temperature_init: PositiveFloat = 1.0
    """Initial `temp`. Logits are bounded by sqrt(head_dim) * temp: small heads need more than 1."""
    moe_branch_scale_init: PositiveFloat = 1.0
    """Initial `hidden_states_scale` of the MoE branch. The top-1 gate starts near 1/E, so tiny
    models set E here or their experts stay too quiet to learn."""
    router_out_std: PositiveFloat | None = None
    """Standard deviation of the router's last layer; None means `initializer_range`."""

    @field_validator("num_experts_per_tok")
    @classmethod
    def _top_1(cls, value: int) -> int:
        if value != 1:
            raise ValueError(f"{value} experts per token; this architecture routes to exactly 1")
        return value

    @model_validator(mode="after")
    def _shapes_agree(self) -> ModelConfig:
        nq, nk, d = self.num_attention_heads, self.num_key_value_heads, self.head_dim
        if nq % nk:
            raise ValueError(f"num_attention_heads {nq} is no multiple of num_key_value_heads {nk}")
        if (nk * d) % 2:
            raise ValueError(f"num_key_value_heads*head_dim = {nk * d} must be even (value shift)")
        if self.rotary_dim % 2 or self.rotary_dim < 2:
            raise ValueError(
                f"head_dim*partial_rotary_factor = {d * self.partial_rotary_factor} must be even"
            )
        if self.sliding_layers and self.sliding_window is None:
            raise ValueError("sliding_layers needs sliding_window")
        if any(not 0 <= i < self.num_hidden_layers for i in self.sliding_layers):
            raise ValueError(f"sliding_layers names a layer beyond 0..{self.num_hidden_layers - 1}")
        return self

    @property
    def rotary_dim(self) -> int:
        return int(self.head_dim * self.partial_rotary_factor)

    @property
    def conv_channels(self) -> int:
        """C: query channels then key channels of the compressed latent."""
        return (self.num_attention_heads + self.num_key_value_heads) * self.head_dim

    @property
    def router_classes(self) -> int:
        """E, plus one when the skip class exists."""
        return self.num_experts + (self.skip_expert != "none")


class ModelRecipe(Config):
    """The [model] table of any recipe; the rest of the file is for others."""

    model_config = ConfigDict(extra="ignore")
    model: ModelConfig
