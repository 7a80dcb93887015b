"""Spread a model over ranks: experts, then recomputation, then FSDP2 around every block.

Gradients are sums over ranks, not means: the loss is divided by the global number of targets, so
that packing, trimming and the world size leave it alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from openzaya.model.zaya import ZayaForCausalLM
from openzaya.parallel.expert import spread_experts
from openzaya.parallel.world import World


def parallelize(model: ZayaForCausalLM, world: World) -> None:
    """Shard `model` in place. One process keeps it whole, and only recomputes if asked to."""
    config = world.config
    if config.expert > 1:
        spread_experts(model, world)
    if config.recompute:
        for block in model.model.layers:  # inside FSDP's hooks, and without another name
            options = {"use_reentrant": False, "preserve_rng_state": False}
            block.forward = partial(checkpoint, block.forward, **options)
    if world.mesh is None:
        return
    assert world.expert_mesh is not None
    alone = config.replicate == 1
    options: dict[str, Any] = {"mesh": world.mesh["shard"] if alone else world.mesh}
    outer = ("outer",) if alone else ("replicate", "outer")
    experts: dict[str, Any] = {"mesh": world.expert_mesh[outer]}
    if world.precision == "bf16":
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
        options["mp_policy"] = experts["mp_policy"] = policy
    for block in model.model.layers:
        if config.expert > 1:
            fully_shard(block.mlp.experts, **experts)  # type: ignore[arg-type, union-attr]
        fully_shard(block, **options)
    # The head's weight is used outside of forward, by the loss: it stays whole until backward.
    fully_shard(model, **options, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def reshard(model: ZayaForCausalLM) -> None:
    """After a forward without backward: parameters are the sharded fp32 ones again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
