"""Context parallelism: the ranks of a group share a stream's tokens, and one attention.

The stream is cut into equal chunks. Contiguous: rank r has chunk r. Zigzag: of 2R chunks it has r
and 2R-1-r, so that all ranks have the same attention work. What crosses the cuts (report:
all-gather of compressed keys and values, short exchanges for convolution and value shift):

- two rows of the projections before each chunk, since the convolutions look back two tokens and
  the delayed value one. They are mixed as ordinary rows in front of the chunk, and their own
  results are thrown away; their gradient goes back to the rank that they came from;
- keys and values of all ranks. Queries stay.

Documents are known to all ranks: positions restart where documents do, wherever the cuts are.
"""

# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from openzaya.errors import ConfigError
from openzaya.model.attention import HALF
from openzaya.model.layout import Layout, lazy
from openzaya.model.mix import MixWeights, mix
from openzaya.model.rope import Rope
from openzaya.parallel.collectives import GatherRows, sum_and_scatter

HALO = 2
"""Rows before a chunk that its first rows depend on."""


@dataclass(frozen=True)
class Piece:
    """Part of a document inside a chunk: local rows low..high, keys first..last of the stream."""

    low: int
    high: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class ContextLayout(Layout):
    """This rank's rows of a shared stream of `stream` tokens: `row_N` are their places in it."""

    stream: int
    row_N: Tensor
    place_N: Tensor

    @lazy
    def position_N(self) -> Tensor:
        """Position of each token inside its document."""
        return self.place_N


def chunk_rows(total: int, ranks: int, rank: int, kind: str) -> list[range]:
    """Rows of the stream that `rank` has, chunk by chunk; `total` divides evenly."""
    if kind == "contiguous":
        size = total // ranks
        return [range(rank * size, (rank + 1) * size)]
    size = total // (2 * ranks)
    chunks = (rank, 2 * ranks - 1 - rank)
    return [range(c * size, (c + 1) * size) for c in chunks]


def split(
    lengths: Sequence[int],
    group: dist.ProcessGroup,
    kind: Literal["contiguous", "zigzag"],
    device: torch.device | str = "cpu",
) -> tuple[ContextLayout, int]:
    """This rank's part of documents of `lengths`, and the rows that were added at the stream's end,
    as a document of their own, to make the chunks equal.

    ConfigError where a chunk would be shorter than its halo.
    """
    ranks, rank = group.size(), dist.get_rank(group)
    chunks = ranks if kind == "contiguous" else 2 * ranks
    added = -sum(lengths) % chunks
    documents = [*lengths, added] if added else list(lengths)
    total = sum(documents)
    if total // chunks < HALO:
        raise ConfigError(
            f"parallel.context: {sum(lengths)} tokens are too few for {chunks} chunks",
            "use a smaller parallel.context for windows as short as this",
        )
    starts = torch.tensor([0, *documents]).cumsum(0)[:-1]
    start_T = torch.repeat_interleave(starts, torch.tensor(documents))
    mine = chunk_rows(total, ranks, rank, kind)
    row_N = torch.cat([torch.arange(c.start, c.stop) for c in mine])
    order = torch.cat(
        [
            torch.arange(c.start, c.stop)
            for r in range(ranks)
            for c in chunk_rows(total, ranks, r, kind)
        ]
    )
    context = Context.of(mine, start_T, order, group, kind, torch.device(device))
    layout = ContextLayout(
        (len(row_N),), (0,), torch.device(device), context,
        stream=sum(lengths), row_N=row_N.to(device), place_N=(row_N - start_T[row_N]).to(device),
    )  # fmt: skip
    return layout, added


@dataclass(frozen=True)
class Context:
    """How one rank's rows meet those of the others. Index tensors of S rows with halos, N own rows,
    and the stream's T rows."""

    group: dist.ProcessGroup
    extended: Layout
    own_N: Tensor  # own rows among the extended ones
    halo_H: Tensor  # halo rows among the extended ones
    source_H: Tensor  # and among the tails of all ranks
    tail_M: Tensor  # own rows that others may need: the last HALO of each chunk
    stream_T: Tensor  # row of the gathered keys for each place in the stream
    pieces: tuple[Piece, ...]

    @classmethod
    def of(
        cls,
        mine: list[range],
        start_T: Tensor,
        order: Tensor,
        group: dist.ProcessGroup,
        kind: str,
        device: torch.device,
    ) -> Context:
        ranks, size = group.size(), len(mine[0])
        own, halo, source, tail, lengths, pieces = [], [], [], [], [], []
        row = local = 0
        for chunk in mine:
            first = int(start_T[chunk.start])
            before = min(HALO, chunk.start - first)
            number = chunk.start // size - 1
            for back in range(before, 0, -1):
                halo.append(row)
                source.append(_tail_row(number, ranks, kind) + HALO - back)
                row += 1
            own += range(row, row + size)
            tail += range(local + size - HALO, local + size)
            row += size
            begun = torch.arange(chunk.start + 1, chunk.stop)
            begun = begun[start_T[begun] == begun]
            edges = [chunk.start, *begun.tolist(), chunk.stop]
            for low, high in itertools.pairwise(edges):
                shift = local - chunk.start
                pieces.append(Piece(low + shift, high + shift, int(start_T[low]), high))
                lengths.append(high - low + (before if low == chunk.start else 0))
            local += size
        stream = torch.empty_like(order)
        stream[order] = torch.arange(len(order))
        own_N, halo_H, source_H, tail_M = (
            torch.tensor(i, dtype=torch.int64, device=device) for i in (own, halo, source, tail)
        )
        return cls(
            group,
            Layout.of(lengths, device=device),
            own_N,
            halo_H,
            source_H,
            tail_M,
            stream.to(device),
            tuple(pieces),
        )

    def attention(
        self, projected: Tensor, w: MixWeights, rope: Rope, window: int | None, hf: bool
    ) -> Tensor:
        """(N, H, K) from this rank's projections (N, C + G*K)."""
        extended = _Extend.apply(projected, self)
        assert isinstance(extended, Tensor)
        # Halo rows need no rotation: what they become is not used.
        tables = [
            t.new_zeros(extended.shape[0], *t.shape[1:]).index_copy(0, self.own_N, t) for t in rope
        ]
        q, k, v = mix(extended, w, self.extended, (tables[0], tables[1]), None, hf)
        q, k, v = (t.index_select(0, self.own_N) for t in (q, k, v))
        both = GatherRows.apply(torch.cat([k, v], dim=1), self.group)
        assert isinstance(both, Tensor)
        k, v = both.index_select(0, self.stream_T).chunk(2, dim=1)
        return self._attend(q, k, v, window)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
        if q.is_cuda and q.dtype in HALF:
            return self._attend_varlen(q, k, v, window)
        outputs = []
        for p in self.pieces:
            parts = (q[p.low : p.high], k[p.first : p.last], v[p.first : p.last])
            a, b, c = (t.transpose(0, 1)[None] for t in parts)
            time = torch.arange(p.last - p.first, device=q.device)
            gap = time[-(p.high - p.low) :, None] - time
            seen = gap >= 0 if window is None else (gap >= 0) & (gap < window)
            out = F.scaled_dot_product_attention(a, b, c, attn_mask=seen, enable_gqa=True)
            outputs.append(out[0].transpose(0, 1))
        return torch.cat(outputs)

    def _attend_varlen(self, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
        spans = [torch.arange(p.first, p.last, device=q.device) for p in self.pieces]
        keys = torch.cat(spans)
        q_edges, k_edges = (
            torch.tensor([0, *sizes], device=q.device).cumsum(0).to(torch.int32)
            for sizes in ([p.high - p.low for p in self.pieces], [len(s) for s in spans])
        )
        out = varlen_attn(
            q, k[keys], v[keys], q_edges, k_edges, max(p.high - p.low for p in self.pieces),
            max(map(len, spans)), window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=True,
        )  # fmt: skip
        assert isinstance(out, Tensor)
        return out


def _tail_row(chunk: int, ranks: int, kind: str) -> int:
    """First tail row of chunk `chunk` among those of all ranks."""
    if kind == "contiguous":
        return chunk * HALO
    early = chunk < ranks
    owner = chunk if early else 2 * ranks - 1 - chunk
    return (2 * owner + (not early)) * HALO


class _Extend(torch.autograd.Function):
    """Own rows with the halo rows before each chunk. One node for values and gradients, which every
    rank runs, whether or not it needs a halo itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, context: Context) -> Tensor:
        ctx.context = context
        tails = x.new_empty(len(context.tail_M) * context.group.size(), x.shape[1])
        dist.all_gather_into_tensor(tails, x[context.tail_M], context.group)
        out = x.new_empty(len(context.own_N) + len(context.halo_H), x.shape[1])
        out[context.own_N] = x
        out[context.halo_H] = tails[context.source_H]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        context, grad = ctx.context, grads[0]
        rows = len(context.tail_M) * context.group.size()
        tails = grad.new_zeros(rows, grad.shape[1])
        tails[context.source_H] = grad[context.halo_H]
        back = grad[context.own_N]
        back[context.tail_M] += sum_and_scatter(tails, context.group)
        return back, None
