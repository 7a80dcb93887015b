"""Knobs of the optimizers, the learning-rate schedule and the router's load balancing.

Values that the ZAYA1 reports leave open (momentum, weight decay, clip, warm-up, betas) are the
Moonlight / Muon defaults (arXiv 2502.16982).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from openzaya.config.base import Config

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class OptimConfig(Config):
    """Muon on weight matrices and expert stacks, AdamW on everything else."""

    lr: NonNegativeFloat = 6e-4
    """Peak learning rate of the matrices."""
    adam_lr: NonNegativeFloat | None = None
    """Peak learning rate of the rest; None means `lr`, which is what scale match_rms is for."""
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    """AdamW's decay rates."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon."""
    weight_decay: NonNegativeFloat = 0.1
    """Decoupled, on matrices, embedding and convolutions; never on vectors (see optim.groups)."""
    momentum: Beta = 0.95
    """Muon's momentum. 0 keeps no buffer at all: the report's choice for RL."""
    nesterov: bool = True
    ns_steps: PositiveInt = 5
    """Newton-Schulz iterations per update."""
    scale: Literal["match_rms", "original"] = "match_rms"
    """match_rms: 0.2*sqrt(max(d_out, d_in)); original: sqrt(max(1, d_out/d_in))."""
    grad_clip: PositiveFloat = 1.0
    """Largest global gradient norm."""
    min_expert_tokens: NonNegativeInt = 1
    """Experts with fewer tokens in the batch are neither moved nor decayed in this step."""


class ScheduleConfig(Config):
    """Shape of the learning rate over a run, as a factor on the peak."""

    kind: Literal["cosine", "wsd", "constant"] = "cosine"
    """wsd is warm-up, stable, linear decay."""
    warmup_steps: NonNegativeInt = 2000
    decay_steps: NonNegativeInt = 0
    """Length of wsd's final decay."""
    final_ratio: float = Field(default=1 / 3, ge=0.0, le=1.0)
    """Factor at the end. 1/3 is the report's 6e-4 -> 2e-4; constant ignores it."""

    @model_validator(mode="after")
    def _decay_belongs_to_wsd(self) -> ScheduleConfig:
        if (self.kind == "wsd") != (self.decay_steps > 0):
            raise ValueError("decay_steps must be positive for kind wsd and 0 for the others")
        return self


class BalanceConfig(Config):
    """How the routers' selection biases follow the load (report arXiv 2605.05365, balancing)."""

    kind: Literal["adamw", "sign", "aux", "off"] = "adamw"
    """adamw is ZAYA1's; sign is DeepSeek's (arXiv 2408.15664); aux leaves the biases alone and adds
    the Switch Transformer's loss (arXiv 2101.03961); off does neither, as in RL."""
    lr: PositiveFloat = 1e-3
    """In units of routing probability per step. Unpublished; 1e-3 is what Primus uses."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    aux_coefficient: PositiveFloat = 1e-2
    """Weight of the auxiliary loss beside the cross-entropy; other kinds ignore it."""
