"""A spread model as whole tensors, which know nothing of the mesh: what a checkpoint holds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from openzaya.model.zaya import ZayaForCausalLM
from openzaya.parallel.world import World


def whole_model(model: ZayaForCausalLM, world: World) -> ZayaForCausalLM:
    """The model with all its parameters on the CPU. Every rank must come; only the main one gets
    them, the others get an empty shell."""
    if world.mesh is None:
        return model
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if world.is_main:
            state[name] = whole.detach().cpu()
    with torch.device("meta"):
        shell = ZayaForCausalLM(model.config)
    if world.is_main:
        buffers = {name: buffer.detach().cpu() for name, buffer in model.named_buffers()}
        head = {"lm_head.weight": state["model.embed_tokens.weight"]}
        shell.load_state_dict(state | buffers | head, assign=True)
        shell.tie()
    return shell
