"""The ranks of a run: one process alone, or those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from openzaya.config.parallel import ParallelConfig

BACKENDS = {"cpu": "gloo"}
"""Of a device that is not named here, PyTorch knows the backend itself."""


@dataclass(frozen=True)
class World:
    """This process among the others.

    `mesh` has the axes replicate and shard; in `expert_mesh` shard is cut into outer and expert: a
    layer's experts are dealt out along expert, and each rank's share of them is sharded along
    outer. None where there is one process.
    """

    rank: int
    size: int
    device: torch.device
    precision: Literal["fp32", "bf16"]
    config: ParallelConfig
    mesh: DeviceMesh | None
    expert_mesh: DeviceMesh | None

    @classmethod
    def start(
        cls,
        config: ParallelConfig,
        device: Literal["auto", "cpu"] = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> World:
        """Join the group that torchrun's environment describes; alone without one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        replicate, shard, context = config.sizes(size)
        kind = find_device(device)
        place = torch.device(kind)
        if kind != "cpu":
            place = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0")))
            torch.accelerator.set_device_index(place)
        if size == 1 and precision == "fp32" and not dist.is_initialized():
            return cls(0, 1, place, precision, config, None, None)
        if size == 1 and not dist.is_initialized():
            # Weights of two precisions are FSDP's business, also where it has nothing to share.
            dist.init_process_group(BACKENDS.get(kind), store=HashStore(), rank=0, world_size=1)
        elif not dist.is_initialized():
            dist.init_process_group(BACKENDS.get(kind))
        shards = shard * context
        mesh = _mesh(kind, replicate=replicate, shard=shards)
        experts = _mesh(
            kind, replicate=replicate, outer=shards // config.expert, expert=config.expert
        )
        return cls(dist.get_rank(), size, place, precision, config, mesh, experts)

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """(which, of how many) shares of a batch's windows this rank reads: the ranks that share a
        window's tokens read the same."""
        context = self.config.context
        return self.rank // context, self.size // context

    @property
    def context_rank(self) -> int:
        """Which part of a window's tokens is this rank's; neighbours are neighbouring ranks."""
        return self.rank % self.config.context

    def context_group(self) -> dist.ProcessGroup:
        """The ranks that share this rank's windows. Made once: every rank must come here."""
        context = self.config.context
        groups = [
            dist.new_group(list(range(first, first + context)))
            for first in range(0, self.size, context)
        ]
        group = groups[self.rank // context]
        assert isinstance(group, dist.ProcessGroup)
        return group

    def sum(self, value: Tensor) -> Tensor:
        """`value` summed over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def stop(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()


def find_device(device: Literal["auto", "cpu"]) -> str:
    """Type of the device to run on: of the accelerator that PyTorch finds, whoever made it."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if device == "auto" and found is not None else "cpu"


def _mesh(kind: str, **axes: int) -> DeviceMesh:
    return init_device_mesh(kind, tuple(axes.values()), mesh_dim_names=tuple(axes))
