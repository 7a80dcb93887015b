"""Rows in another order, and rows spread into a padded batch, with cheap gradients.

Autograd's own backward of an indexed read is a scatter-add, several times slower on a CPU, although
every row that matters is read exactly once: here backward is a gather too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from openzaya.model.layout import Layout


class _Gather(torch.autograd.Function):
    """x[index]; `inverse` finds each row of x in the result. Rows that `inverse` does not name
    (padding) must receive no gradient, which causal attention guarantees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


class _Collect(torch.autograd.Function):
    """x[index] where index names every useful row once; the other rows get zero gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = x.shape[0]
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        grad = grads[0].new_zeros(ctx.rows, *grads[0].shape[1:])
        return grad.index_copy_(0, index, grads[0]), None


def permute(x_N: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Rows of x in a new order; `inverse` undoes `order`."""
    return _Gather.apply(x_N, order, inverse)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Segments of similar length, right-padded to `length` for one attention call."""

    rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Padding:
    """Packed rows as a few padded batches: M slots, bucket after bucket."""

    buckets: tuple[Bucket, ...]
    slot_M: Tensor  # stream index of each padded slot (pads point at token 0)
    slot_of_N: Tensor  # padded slot of each token: the inverse of slot_M

    @classmethod
    def of(cls, layout: Layout) -> Padding:
        """A new bucket where lengths grow by 1.5x, so that padding stays small."""
        length_B, start_B = layout.length_B, layout.start_B
        order = torch.argsort(length_B, descending=True, stable=True)
        sorted_lengths = length_B[order].tolist()
        edges = [0]
        for i, length in enumerate(sorted_lengths):
            if sorted_lengths[edges[-1]] > 1.5 * length + 8:
                edges.append(i)
        edges.append(len(sorted_lengths))

        buckets, slots = [], []
        slot_of_segment = torch.empty_like(length_B)
        base = 0
        for low, high in itertools.pairwise(edges):
            rows, width = order[low:high], sorted_lengths[low]
            time_T = torch.arange(width)
            index_BT = start_B[rows, None] + time_T
            slots.append(torch.where(time_T < length_B[rows, None], index_BT, 0).flatten())
            slot_of_segment[rows] = base + torch.arange(high - low) * width
            base += (high - low) * width
            buckets.append(Bucket(high - low, width))
        device = layout.device
        slot_of_N = slot_of_segment.to(device)[layout.segment_N] + layout.offset_N
        return cls(tuple(buckets), torch.cat(slots).to(device), slot_of_N)

    def spread(self, x_N: Tensor) -> list[Tensor]:
        """Packed rows to one (rows, length, ...) batch per bucket."""
        padded: Tensor = _Gather.apply(x_N, self.slot_M, self.slot_of_N)  # type: ignore[assignment]
        chunks = padded.split([b.rows * b.length for b in self.buckets])
        return [
            c.unflatten(0, (b.rows, b.length)) for c, b in zip(chunks, self.buckets, strict=True)
        ]

    def collect(self, batches: list[Tensor]) -> Tensor:
        """The inverse of `spread`."""
        return _Collect.apply(torch.cat([b.flatten(0, 1) for b in batches]), self.slot_of_N)  # type: ignore[no-any-return]
