"""Next-token cross-entropy on a packed stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions

from openzaya.data.example import Example
from openzaya.model import Layout, ModelOutput, ZayaForCausalLM
from openzaya.model.precision import wide


@dataclass(frozen=True, slots=True)
class Stream:
    """Examples end to end. `position` predicts `target`: only rows with a loss are kept."""

    ids_N: Tensor
    layout: Layout
    position: Tensor
    target: Tensor

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Stream:
        ids = torch.from_numpy(np.concatenate([e.ids for e in examples])).long()
        mask = torch.from_numpy(np.concatenate([e.loss_mask for e in examples]))
        # A document's first token is never a target, so target - 1 is in the same document.
        target_at = mask.nonzero()[:, 0]
        return cls(ids, Layout.of([len(e) for e in examples]), target_at - 1, ids[target_at])


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
