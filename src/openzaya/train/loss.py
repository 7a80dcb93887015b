"""Next-token cross-entropy on a packed stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions

from openzaya.data.example import Example
from openzaya.model import Layout, ModelOutput, ZayaForCausalLM
from openzaya.model.precision import wide
from openzaya.parallel.context import ContextLayout, split


@dataclass(frozen=True, slots=True)
class Stream:
    """Examples end to end. `position` predicts `target`: only rows with a loss are kept."""

    ids_N: Tensor
    layout: Layout
    position: Tensor
    target: Tensor

    @classmethod
    def of(cls, examples: Sequence[Example], device: torch.device | str = "cpu") -> Stream:
        ids = torch.from_numpy(np.concatenate([e.ids for e in examples])).long()
        mask = torch.from_numpy(np.concatenate([e.loss_mask for e in examples]))
        # A document's first token is never a target, so target - 1 is in the same document.
        target_at = mask.nonzero()[:, 0]
        layout = Layout.of([len(e) for e in examples], device=device)
        tensors = (ids, target_at - 1, ids[target_at])
        ids, position, target = (t.to(device, non_blocking=True) for t in tensors)
        return cls(ids, layout, position, target)

    def share(
        self,
        group: dist.ProcessGroup,
        kind: Literal["contiguous", "zigzag"],
        device: torch.device | str = "cpu",
    ) -> Stream:
        """This rank's part of a stream on the CPU, where the ranks of `group` share its tokens."""
        layout, added = split(self.layout.lengths, group, kind, device)
        ids = torch.cat([self.ids_N, self.ids_N[:1].expand(added)])
        local = torch.full((len(ids),), -1)
        mine = layout.row_N.cpu()
        local[mine] = torch.arange(len(mine))
        here = local[self.position] >= 0
        tensors = (ids[mine], local[self.position[here]], self.target[here])
        ids, position, target = (t.to(device) for t in tensors)
        return Stream(ids, layout, position, target)

    @property
    def real_N(self) -> Tensor | slice:
        """Rows that are data, and not there to make parts equal."""
        if isinstance(self.layout, ContextLayout):
            return self.layout.row_N < self.layout.stream
        return slice(None)


LOGIT_ROWS = 512
"""Tokens whose logits exist at one time: all of them would be the largest tensor of a step."""


def next_token_loss(
    model: ZayaForCausalLM, stream: Stream, total: int | None = None
) -> tuple[Tensor, ModelOutput]:
    """Cross-entropy (fp32) summed over targets, over `total` (all targets of a batch of which this
    stream is a part; None: its own), and what else the forward returned."""
    out = model(stream.ids_N, stream.layout)
    if not len(stream.target):
        return out.hidden_ND.sum() * 0, out  # other ranks wait for this one's gradients
    mean = F.linear_cross_entropy(
        wide(out.hidden_ND[stream.position]),
        wide(model.lm_head.weight),
        stream.target,
        options=LinearCrossEntropyOptions(batch_chunk_size=LOGIT_ROWS),
    )
    return mean if total is None else mean * (len(stream.target) / total), out


def expert_counts(experts_NL: Tensor, classes: int) -> Tensor:
    """Tokens per layer and class, (L, E)."""
    return torch.stack([torch.bincount(c, minlength=classes) for c in experts_NL.unbind(1)])
