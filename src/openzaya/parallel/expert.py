"""Expert parallelism: each rank owns some experts of every layer, and tokens travel to them.

Rank r of P owns experts r*E/P .. (r+1)*E/P - 1. Rows are sent to the owner of their expert, run
through its part of the stack and come back. Rows of the skip class stay at home.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from openzaya.errors import ConfigError
from openzaya.model.experts import Experts
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.parallel.collectives import ExchangeRows, exchange
from openzaya.parallel.world import World


def spread_experts(model: ZayaForCausalLM, world: World) -> None:
    """Keep this rank's experts only. ConfigError where they cannot be dealt out evenly."""
    assert world.expert_mesh is not None
    experts, ranks = model.config.num_experts, world.config.expert
    if experts % ranks:
        raise ConfigError(
            f"parallel.expert: {experts} experts do not go evenly to {ranks} ranks",
            "choose a divisor of the number of experts",
        )
    mesh = world.expert_mesh["expert"]
    for module in model.modules():
        if isinstance(module, Experts):
            for name in ("gate_up_proj", "down_proj"):
                whole = getattr(module, name)
                part = distribute_tensor(whole.detach(), mesh, [Shard(0)])
                setattr(module, name, nn.Parameter(part, whole.requires_grad))
            module.travel = Travel(mesh, experts)


class Travel:
    """Takes rows to their experts and back."""

    def __init__(self, mesh: DeviceMesh, experts: int) -> None:
        self.group = mesh.get_group()
        self.own = experts // self.group.size()
        self.experts, self.first = experts, self.own * dist.get_rank(self.group)

    def __call__(
        self, experts: Experts, x_ND: Tensor, choice_N: Tensor, weight_N: Tensor
    ) -> Tensor:
        """`Experts.forward` over the stacks of all ranks."""
        order_N = torch.argsort(choice_N, stable=True)  # by owner, and skipped rows last
        count_E = torch.bincount(choice_N, minlength=self.experts)[: self.experts]
        sent_P = count_E.view(-1, self.own).sum(1)
        received_P = torch.empty_like(sent_P)
        dist.all_to_all_single(received_P, sent_P, group=self.group)
        sent, received = sent_P.tolist(), received_P.tolist()
        home_N, away_N = order_N[sum(sent) :], order_N[: sum(sent)]
        rows = ExchangeRows.apply(x_ND[away_N], sent, received, self.group)
        weight = ExchangeRows.apply(weight_N[away_N], sent, received, self.group)
        choice = exchange(choice_N[away_N], sent, received, self.group) - self.first
        done = ExchangeRows.apply(experts.run(rows, choice, weight), received, sent, self.group)
        assert isinstance(done, Tensor)
        skipped = x_ND[home_N] * weight_N[home_N, None]
        if experts.skip != "scaled":
            skipped = torch.zeros_like(skipped)
        back_N = torch.empty_like(order_N)
        back_N[order_N] = torch.arange(len(order_N), device=order_N.device)
        return torch.cat([done, skipped])[back_N]


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that may be spread."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
