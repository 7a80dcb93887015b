"""Which parameter goes to which optimizer, and the one step that moves them all.

| group    | optimizer | decay | members                                                      |
|----------|-----------|-------|--------------------------------------------------------------|
| matrices | Muon      | yes   | 2-D weights except the embedding; 3-D expert stacks          |
| tables   | AdamW     | yes   | embedding (tied head); conv_qk weights, decayed like matrices |
| vectors  | AdamW     | no    | norms, residual scales, temp, EDA gamma, all biases          |

The split is the report's (arXiv 2605.05365); balancing biases are buffers and belong to
`optim.balance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from openzaya.config.optim import OptimConfig
from openzaya.errors import RunError
from openzaya.optim.muon import Muon
from openzaya.optim.sharded import own, own_rows, total_norm


def group_of(name: str, parameter: Tensor) -> str:
    """Group of one entry of `named_parameters()`; the names are Hugging Face's."""
    if parameter.dim() < 2:
        return "vectors"
    if "embed_tokens" in name or "conv_qk" in name:
        return "tables"
    assert parameter.dim() == 2 or "experts" in name, f"no optimizer for {name}"
    return "matrices"


class NonFiniteGradient(RunError):
    """Nothing was moved; the gradients are still there."""


class Optimizers:
    """Muon and AdamW as one: clip, set the learning rate, step, clear gradients."""

    def __init__(self, model: nn.Module, cfg: OptimConfig) -> None:
        self.cfg = cfg
        groups: dict[str, list[tuple[str, Tensor]]] = {"matrices": [], "tables": [], "vectors": []}
        self._stacks: list[tuple[int, Tensor]] = []
        """Expert stacks with their layer."""
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            group = group_of(name, parameter)
            groups[group].append((name, parameter))
            if group == "matrices" and parameter.dim() == 3:
                self._stacks.append((_layer_of(name), parameter))
        self.muon = Muon(
            [{"group": "matrices", "params": groups["matrices"]}],
            cfg.lr,
            momentum=cfg.momentum,
            nesterov=cfg.nesterov,
            weight_decay=cfg.weight_decay,
            ns_steps=cfg.ns_steps,
            scale=cfg.scale,
            min_expert_tokens=cfg.min_expert_tokens,
        )
        adam_lr = cfg.lr if cfg.adam_lr is None else cfg.adam_lr
        self.adamw = torch.optim.AdamW(
            [
                {
                    "group": "tables",
                    "params": groups["tables"],
                    "weight_decay": cfg.weight_decay,
                },
                {"group": "vectors", "params": groups["vectors"], "weight_decay": 0.0},
            ],
            lr=adam_lr,
            betas=cfg.betas,
            eps=cfg.eps,
            fused=True,
        )
        self._peaks = ((self.muon, cfg.lr), (self.adamw, adam_lr))

    def names(self) -> dict[str, list[str]]:
        """Members of each group, by name."""
        both = self.muon.param_groups + self.adamw.param_groups
        return {group["group"]: list(group["param_names"]) for group in both}

    def step(self, lr_factor: float, expert_tokens_LE: Tensor | None = None) -> float:
        """One update from the accumulated gradients, which are then cleared.

        `lr_factor` scales both peaks (`optim.schedule`). `expert_tokens_LE` (L, E) holds the
        batch's tokens per expert; columns beyond E (the skip class) are ignored. It may be left
        out only where no expert needs tokens: `min_expert_tokens` 0, or no experts.
        Returns the global gradient norm before clipping; nothing moves when that is not finite.
        """
        norm = self._clip()
        expert_tokens: dict[Tensor, Tensor] = {}
        if self._stacks and self.cfg.min_expert_tokens:
            assert expert_tokens_LE is not None, "min_expert_tokens needs the experts' loads"
            for layer, stack in self._stacks:
                expert_tokens[stack] = expert_tokens_LE[layer, : stack.shape[0]]
        for optimizer, peak in self._peaks:
            for group in optimizer.param_groups:
                group["lr"] = peak * lr_factor
        self.muon.step(expert_tokens=expert_tokens)
        self.adamw.step()
        self.zero_grad()
        return norm

    def _clip(self) -> float:
        """Scale all gradients to norm <= grad_clip. Muon forgets the scale when momentum is 0."""
        both = self.muon.param_groups + self.adamw.param_groups
        params = [p for group in both for p in group["params"]]
        grads = [p.grad for p in params if p.grad is not None]
        norm = total_norm(grads)
        if not torch.isfinite(norm):
            raise NonFiniteGradient(
                f"the gradient norm is {norm.item()}; no parameter was moved",
                hint="resume from the last checkpoint with a lower optim.lr",
            )
        factor = (self.cfg.grad_clip / (norm + 1e-6)).clamp(max=1.0)
        for grad in map(own, grads):
            grad.mul_(factor.to(grad.dtype))
        return norm.item()

    def zero_grad(self) -> None:
        self.muon.zero_grad()
        self.adamw.zero_grad()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Per parameter name, whole tensors whatever the mesh: every rank must come."""
        return {
            name: {key: _whole(value) for key, value in optimizer.state[parameter].items()}
            for optimizer, name, parameter in self._members()
            if optimizer.state[parameter]
        }

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take what `state_dict` gave, on this mesh or another."""
        for optimizer, name, parameter in self._members():
            optimizer.state[parameter].update(
                {key: _spread(value, parameter) for key, value in state.get(name, {}).items()}
            )

    def _members(self) -> Iterator[tuple[Optimizer, str, Tensor]]:
        for optimizer in (self.muon, self.adamw):
            for group in optimizer.param_groups:
                for name, parameter in zip(group["param_names"], group["params"], strict=True):
                    yield optimizer, name, parameter


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value.clone()


def _spread(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole state tensor as the parameter is spread; a step count stays what it is."""
    if value.dim() == 0:
        return value.clone()
    spread = torch.zeros_like(parameter, dtype=value.dtype, requires_grad=False)
    own(spread).copy_(value[own_rows(parameter)])
    return spread


def build_optimizers(model: nn.Module, cfg: OptimConfig) -> Optimizers:
    """The optimizers of `model`, with every trainable parameter in exactly one group."""
    return Optimizers(model, cfg)


def _layer_of(name: str) -> int:
    match = re.search(r"\blayers\.(\d+)\.", name)
    assert match, f"{name} names no layer"
    return int(match.group(1))
