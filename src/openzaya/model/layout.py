"""Where documents begin and end in a packed stream, and how attention sees it as a batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Bucket:
    """Segments of similar length, right-padded to `length` for one attention call."""

    rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Segments end to end. `past` tokens of each segment are already in a decode state.

    Row b of the decode state belongs to segment b. A training document is a segment without past.
    """

    lengths: tuple[int, ...]
    past: tuple[int, ...]
    start_B: Tensor  # index of each segment's first token in the stream
    segment_N: Tensor
    offset_N: Tensor  # position inside the segment
    position_N: Tensor  # position inside the document: offset plus past
    buckets: tuple[Bucket, ...]
    slot_M: Tensor  # stream index of each padded slot (pads point at token 0)
    slot_of_N: Tensor  # padded slot of each token: the inverse of slot_M

    @classmethod
    def of(cls, lengths: Sequence[int], past: Sequence[int] | None = None) -> Layout:
        """Build from segment lengths (each at least 1) and the tokens before them (default: 0)."""
        assert lengths and min(lengths) >= 1, "every segment holds at least one token"
        past = tuple(past) if past is not None else (0,) * len(lengths)
        length_B = torch.tensor(lengths)
        start_B = torch.cumsum(length_B, 0) - length_B
        segment_N = torch.repeat_interleave(torch.arange(len(lengths)), length_B)
        offset_N = torch.arange(int(length_B.sum())) - start_B[segment_N]
        position_N = offset_N + torch.tensor(past)[segment_N]
        buckets, slot_M, slot_of_N = _bucket(length_B, start_B, segment_N, offset_N)
        return cls(
            tuple(lengths),
            past,
            start_B,
            segment_N,
            offset_N,
            position_N,
            buckets,
            slot_M,
            slot_of_N,
        )

    @property
    def tokens(self) -> int:
        return self.offset_N.numel()

    @property
    def is_decode(self) -> bool:
        """One new token per sequence: the shape of every step after prefill."""
        return max(self.lengths) == 1 and min(self.past) > 0

    @property
    def is_fresh(self) -> bool:
        """No segment continues an earlier one: training, or a whole-prompt prefill."""
        return max(self.past) == 0


def _bucket(
    length_B: Tensor, start_B: Tensor, segment_N: Tensor, offset_N: Tensor
) -> tuple[tuple[Bucket, ...], Tensor, Tensor]:
    """Group segments so that padding stays small: a new bucket where lengths grow by 1.5x."""
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
    return tuple(buckets), torch.cat(slots), slot_of_segment[segment_N] + offset_N


class _Gather(torch.autograd.Function):
    """x[index] whose backward is a gather too: `inverse` finds each row of x in the result.

    Autograd's own backward of an indexed read is a scatter-add, several times slower on a CPU,
    although every row that matters is read exactly once. Rows that `inverse` does not name
    (padding) must receive no gradient, which causal attention guarantees.
    """

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


def spread(x_N: Tensor, layout: Layout) -> Tensor:
    """Packed rows to padded slots (M rows, bucket after bucket)."""
    return _Gather.apply(x_N, layout.slot_M, layout.slot_of_N)  # type: ignore[no-any-return]


def collect(x_M: Tensor, layout: Layout) -> Tensor:
    """Padded slots back to packed rows."""
    return _Collect.apply(x_M, layout.slot_of_N)  # type: ignore[no-any-return]


def previous(x_N: Tensor, layout: Layout, carried_B: Tensor | None) -> Tensor:
    """Each row's left neighbour in its document: zero at a document start, `carried_B` (the last
    row before this call) at the start of a continued segment."""
    if layout.is_decode:
        assert carried_B is not None
        return carried_B
    shifted = torch.nn.functional.pad(x_N, (0, 0, 1, 0))[:-1]
    inside = (layout.offset_N > 0)[:, None]
    if carried_B is None:
        return shifted * inside
    return torch.where(inside, shifted, carried_B[layout.segment_N])
